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


def wait_until(condition: Callable[[], bool], failure: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, failure
        time.sleep(0.05)


def queue_depth(server: Any) -> float:
    value: float = server.metrics()["graft_queue_depth_pictures"]
    return value


@contextmanager
def calling_in_threads(count: int, call: Callable[[], bool]) -> Iterator[None]:
    """Run threads that repeat `call` until it returns False or the block ends."""
    stop = threading.Event()

    def call_repeatedly() -> None:
        while not stop.is_set() and call():
            pass

    with ThreadPoolExecutor(count) as threads:
        futures = [threads.submit(call_repeatedly) for _ in range(count)]
        try:
            yield
        finally:
            stop.set()
    for future in futures:
        future.result()


@contextmanager
def recording_memory_peak(server: Any, peaks: list[int]) -> Iterator[None]:
    """Append the worker's largest resident memory during the block to `peaks`, in bytes."""
    (worker,) = server.workers()
    largest, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.01):
            largest.append(worker.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        peaks.append(max(largest))


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
    peaks: list[int] = []
    # the memory that two pictures need
    with recording_memory_peak(one_thread, peaks), ThreadPoolExecutor(2) as threads:
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

    with (
        recording_memory_peak(one_thread, peaks),
        calling_in_threads(1, post_small),
        ThreadPoolExecutor(16) as threads,
    ):
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
    assert decoded == statuses[200], "refused pictures were decoded"
    alone, flooded = peaks
    assert flooded < 1.25 * alone  # in a longer time, the peaks of two threads coincide more often


def test_pictures_of_disconnected_clients_are_not_decoded(
    one_thread: Any, slow_picture: bytes, draw: Any
) -> None:
    before = one_thread.metrics()
    picture = draw("blue")
    head = b"POST /predict HTTP/1.1\r\nHost: graft\r\nContent-Type: image/jpeg\r\n"
    port = int(one_thread.url.rpartition(":")[2])
    disconnects = 'graft_requests_total{endpoint="/predict",status="499"}'
    with ThreadPoolExecutor(5) as threads:
        slow = [threads.submit(post, one_thread, slow_picture) for _ in range(5)]
        wait_until(lambda: queue_depth(one_thread) == 5, "the slow pictures were not queued")
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(picture) + picture)
                time.sleep(0.05)
        assert [future.result().status_code for future in slow] == [200] * 5
    wait_until(lambda: queue_depth(one_thread) == 0, "the queue did not get empty")
    after = one_thread.metrics()
    assert after[disconnects] - before.get(disconnects, 0) == 3
    for name in ("graft_decode_seconds_count", "graft_pictures_total"):
        assert after[name] - before[name] == 5
    assert post(one_thread, picture).json()["label"] == "blue"


def test_sigterm_under_load_drains_answers_accepted_requests_and_exits(
    serve: Any, slow_picture: bytes, draw: Any
) -> None:
    """The clients keep their connections. The service drains for 2 s, then it closes."""
    drain_seconds, deadline_seconds = 2.0, 30.0
    outcomes: list[tuple[float, str]] = []
    probes: list[tuple[float, int, int]] = []
    picture, local = draw("green"), threading.local()

    def post_picture() -> bool:
        """Return False once the service has closed."""
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
            wait_until(lambda: queue_depth(server) == 6, "the slow pictures were not queued")
            with calling_in_threads(4, post_picture):
                wait_until(lambda: queue_depth(server) > 6 or bool(outcomes), "no load")
                stop_time = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                with suppress(httpx.TransportError):
                    while time.monotonic() < stop_time + drain_seconds:
                        ready = httpx.get(f"{server.url}/readyz").status_code
                        answer = post(server, picture).status_code
                        probes.append((time.monotonic() - stop_time, ready, answer))
                        time.sleep(0.05)
                answered = {future.result().status_code for future in slow}
                assert 200 in answered
                assert answered <= {200, 504}  # a busy machine may miss the deadline of some
                assert server.process.wait(90) == 0
        assert "Traceback" not in server.log.read_text()
    refused = [statuses for seconds, *statuses in probes if seconds > 0.7]
    assert refused
    assert refused == [[503, 503]] * len(refused)
    assert {outcome for moment, outcome in outcomes if moment < stop_time + drain_seconds} <= {
        "green",
        "503",
    }
    assert {outcome for _, outcome in outcomes} <= {"green", "503", "ConnectError", "ReadError"}


def test_a_killed_worker_loses_only_the_requests_it_was_working_on(serve: Any, draw: Any) -> None:
    outcomes: Counter[str] = Counter()
    clients = 4

    def post_picture() -> bool:
        try:
            outcomes[str(post(server, draw()).status_code)] += 1
        except httpx.TransportError:
            outcomes["lost"] += 1
        time.sleep(0.02)
        return True

    with serve(BENTOML_CONFIG_OPTIONS="services.graft.workers=2") as server:
        with calling_in_threads(clients, post_picture):
            killed, remaining = server.workers()
            wait_until(lambda: outcomes["200"] >= 40, "no load")
            killed.send_signal(signal.SIGKILL)
            psutil.wait_procs([killed], timeout=10)
            answered_before = outcomes["200"]
            wait_until(
                lambda: outcomes["200"] > answered_before + 40,
                "the remaining worker does not answer",
            )

            def is_replaced() -> bool:
                return bool(
                    {process.pid for process in server.workers()} - {killed.pid, remaining.pid}
                )

            wait_until(is_replaced, "the killed worker was not replaced")
            time.sleep(5)  # the new worker starts and takes requests
        assert set(outcomes) <= {"200", "lost"}
        assert outcomes["lost"] <= clients
        samples = server.metrics()
        assert outcomes["200"] <= samples["graft_pictures_total"] <= outcomes.total()
        assert samples["graft_queue_depth_pictures"] == 0
