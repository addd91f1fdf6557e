"""Overload, disconnects, a stop and a killed worker: which requests are answered, and how."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import psutil
import pytest

pytestmark = pytest.mark.slow


def post(server: Any, picture: bytes) -> httpx.Response:
    """Post a picture on a new connection."""
    return httpx.post(f"{server.url}/predict", files={"image": picture}, timeout=60)


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def depth(server: Any) -> float:
    found: float = server.metrics()["graft_queue_depth_pictures"]
    return found


@contextmanager
def asking(count: int, ask: Callable[[], bool]) -> Iterator[None]:
    """Run threads that call `ask` again and again until it returns False or the block ends."""
    end = threading.Event()

    def work() -> None:
        while not end.is_set() and ask():
            pass

    with ThreadPoolExecutor(count) as threads:
        working = [threads.submit(work) for _ in range(count)]
        try:
            yield
        finally:
            end.set()
    for thread in working:
        thread.result()


@contextmanager
def watched(server: Any, peak: list[int]) -> Iterator[None]:
    """Append the worker's largest resident memory in the block to `peak`, in bytes."""
    (worker,) = server.workers()
    largest, end = [0], threading.Event()

    def watch() -> None:
        while not end.wait(0.01):
            largest.append(worker.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        peak.append(max(largest))


@pytest.fixture(scope="module")
def one_thread(serve: Any) -> Iterator[Any]:
    """A service with one thread and a queue of eight pictures."""
    with serve(
        GRAFT_THREADS="1",
        GRAFT_MAX_PICTURES="4",
        GRAFT_MAX_QUEUE_SIZE="8",
        GRAFT_DEADLINE_SECONDS="30",
    ) as server:
        yield server


def test_overload_refuses_some_and_answers_the_others_correctly(
    one_thread: Any, slow_picture: bytes, draw: Any
) -> None:
    peak: list[int] = []
    with watched(one_thread, peak), ThreadPoolExecutor(2) as threads:  # what two cost
        list(threads.map(lambda _: post(one_thread, slow_picture), range(4)))
    before = one_thread.metrics()
    flood: list[httpx.Response] = []
    small: list[tuple[str, httpx.Response]] = []
    colours = iter(["red", "green", "blue"] * 1000)

    def post_small() -> bool:
        colour = next(colours)
        small.append((colour, post(one_thread, draw(colour))))
        time.sleep(0.05)
        return True

    with watched(one_thread, peak), asking(1, post_small), ThreadPoolExecutor(16) as threads:
        flood += threads.map(lambda _: post(one_thread, slow_picture), range(64))
    responses = [*flood, *(response for _, response in small)]
    statuses = Counter(response.status_code for response in responses)
    assert set(statuses) == {200, 429}
    assert all(r.headers["retry-after"] == "1" for r in responses if r.status_code == 429)
    answers = [(colour, r.json()["label"]) for colour, r in small if r.status_code == 200]
    assert answers
    assert all(colour == label for colour, label in answers)
    after = one_thread.metrics()
    assert after["graft_queue_depth_pictures"] == 0
    decoded = after["graft_decode_seconds_count"] - before["graft_decode_seconds_count"]
    assert decoded == statuses[200], "refused pictures cost decoding"
    alone, flooded = peak
    assert flooded < 1.25 * alone  # the peaks of two meet more often, the longer it takes


def test_clients_that_disconnect_while_queued_cost_nothing(
    one_thread: Any, slow_picture: bytes, draw: Any
) -> None:
    before = one_thread.metrics()
    picture = draw("blue")
    head = b"POST /predict HTTP/1.1\r\nHost: graft\r\nContent-Type: image/jpeg\r\n"
    port = int(one_thread.url.rpartition(":")[2])
    gone = 'graft_requests_total{endpoint="/predict",status="499"}'
    with ThreadPoolExecutor(5) as threads:
        slow = [threads.submit(post, one_thread, slow_picture) for _ in range(5)]
        wait_until(lambda: depth(one_thread) == 5, "the slow ones did not come in")
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(picture) + picture)
                time.sleep(0.05)
        assert [post.result().status_code for post in slow] == [200] * 5
    wait_until(lambda: depth(one_thread) == 0, "somebody is still waited for")
    after = one_thread.metrics()
    assert after[gone] - before.get(gone, 0) == 3
    for name in ("graft_decode_seconds_count", "graft_pictures_total"):
        assert after[name] - before[name] == 5
    assert post(one_thread, picture).json()["label"] == "blue"


def test_sigterm_under_load_drains_answers_accepted_requests_and_exits(
    serve: Any, slow_picture: bytes, draw: Any
) -> None:
    """Clients without a proxy, on kept connections; 0 to 2 s is the drain, then the end."""
    drain_seconds, deadline_seconds = 2.0, 30.0
    outcomes: list[tuple[float, str]] = []
    new: list[tuple[float, int, int]] = []
    picture, local = draw("green"), threading.local()

    def ask() -> bool:
        """False once the service has closed."""
        local.client = getattr(local, "client", None) or httpx.Client(base_url=server.url)
        try:
            response = local.client.post("/predict", files={"image": picture}, timeout=60)
        except httpx.TransportError as error:
            outcomes.append((time.monotonic(), type(error).__name__))
            local.client.close()
            return False
        outcome = str(response.status_code)
        if response.status_code == 200:
            outcome = response.json()["label"]
        else:
            assert response.headers["connection"] == "close"
            time.sleep(0.05)
        outcomes.append((time.monotonic(), outcome))
        return True

    with serve(
        GRAFT_DRAIN_SECONDS=str(drain_seconds),
        GRAFT_DEADLINE_SECONDS=str(deadline_seconds),
        GRAFT_THREADS="1",
    ) as server:
        with ThreadPoolExecutor(6) as threads:
            slow = [threads.submit(post, server, slow_picture) for _ in range(6)]
            wait_until(lambda: depth(server) == 6, "the slow ones did not come in")
            with asking(4, ask):
                wait_until(lambda: depth(server) > 6 or bool(outcomes), "no load")
                stopped = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                with suppress(httpx.TransportError):
                    while time.monotonic() < stopped + drain_seconds:
                        ready = httpx.get(f"{server.url}/readyz").status_code
                        answer = post(server, picture).status_code
                        new.append((time.monotonic() - stopped, ready, answer))
                        time.sleep(0.05)
                answered = {request.result().status_code for request in slow}
                assert 200 in answered
                assert answered <= {200, 504}  # a busy machine may miss the deadline of some
                assert server.process.wait(90) == 0
        assert "Traceback" not in server.log.read_text()
    refused = [statuses for seconds, *statuses in new if seconds > 0.7]
    assert refused
    assert refused == [[503, 503]] * len(refused)
    assert {outcome for moment, outcome in outcomes if moment < stopped + drain_seconds} <= {
        "green",
        "503",
    }
    assert {outcome for _, outcome in outcomes} <= {"green", "503", "ConnectError", "ReadError"}


def test_a_killed_worker_loses_only_the_requests_it_was_working_on(serve: Any, draw: Any) -> None:
    outcomes: Counter[str] = Counter()
    clients = 4

    def ask() -> bool:
        try:
            outcomes[str(post(server, draw()).status_code)] += 1
        except httpx.TransportError:
            outcomes["lost"] += 1
        time.sleep(0.02)
        return True

    with serve(BENTOML_CONFIG_OPTIONS="services.graft.workers=2") as server:
        with asking(clients, ask):
            killed, other = server.workers()
            wait_until(lambda: outcomes["200"] >= 40, "no load")
            killed.send_signal(signal.SIGKILL)
            psutil.wait_procs([killed], timeout=10)
            answered = outcomes["200"]
            wait_until(lambda: outcomes["200"] > answered + 40, "the other one does not answer")

            def is_replaced() -> bool:
                return bool({process.pid for process in server.workers()} - {killed.pid, other.pid})

            wait_until(is_replaced, "it was not replaced")
            time.sleep(5)  # the new one starts, and takes its part
        assert set(outcomes) <= {"200", "lost"}
        assert outcomes["lost"] <= clients
        shown = server.metrics()
        assert outcomes["200"] <= shown["graft_pictures_total"] <= outcomes.total()
        assert shown["graft_queue_depth_pictures"] == 0
