"""The service from start to end: what it needs, what it refuses, its limits, how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.bundle.manifest import Bundle, seal
from service.system.resources import usable_cores

ROOT = Path(__file__).parents[3]
RefuseToServe = Callable[..., tuple[int, str]]


def connect(server: Any) -> socket.socket:
    port = int(server.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def begin(connection: socket.socket, length: int) -> None:
    """Send the head of a request, and wait until the service asks for the body."""
    lines = ["POST /predict HTTP/1.1", "Host: graft", "Content-Type: image/jpeg"]
    lines += [f"Content-Length: {length}", "Expect: 100-continue", "", ""]
    connection.sendall("\r\n".join(lines).encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")


def answer_of(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    response = HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read())


# Start


def test_training_code_is_not_needed(server: Any) -> None:
    """TensorFlow, Keras, onnx, plugins and trainers could not be imported there."""
    pids = {server.process.pid, *(worker.pid for worker in server.workers())}
    assert len(pids) == 2
    assert pids <= {int(line) for line in server.without_training.read_text().split()}


def test_altered_bundle_ends_the_service_with_our_message(
    bundle_copy: Path, refuse_to_serve: RefuseToServe
) -> None:
    model = bundle_copy / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(bytes(data))
    code, said = refuse_to_serve(bundle_copy)
    assert code == 1
    assert f"graft: {bundle_copy}: model.onnx was altered (checksum differs); copy the" in said
    assert "Traceback" not in said
    assert "Starting" not in said


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("nothing:latest", {}, "graft: no model 'nothing:latest': it is neither a folder"),
        ("nothing", {"GRAFT_TOP_K": "0"}, "graft: GRAFT_TOP_K (='0'): Input should be greater"),
    ],
    ids=["unknown model", "unusable setting"],
)
def test_wrong_environment_ends_the_service_with_our_message(
    refuse_to_serve: RefuseToServe, model: str, settings: dict[str, str], message: str
) -> None:
    code, said = refuse_to_serve(model, **settings)
    assert code == 1
    assert message in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_services_of_one_home_keep_apart(
    serve: Any, refuse_to_serve: RefuseToServe, tiny_bundle: Bundle, draw: Any, tmp_path: Path
) -> None:
    """Their figures, their reloads; and one that finds its port taken leaves the other alone."""
    other = seal_another(tmp_path, tiny_bundle)
    link = tmp_path / "link"
    link.symlink_to(tiny_bundle.path)
    shared = {"BENTOML_HOME": str(tmp_path / "home"), "GRAFT_RELOAD": "1"}
    with serve(model=link, **shared) as first:
        post = {"files": {"image": draw()}, "timeout": 60}
        httpx.post(f"{first.url}/predict", **post).raise_for_status()
        port = int(first.url.rpartition(":")[2])
        code, said = refuse_to_serve(tiny_bundle.path, port=port, **shared)
        assert code == 1
        assert "Traceback" not in said
        last = said.splitlines()[-1]
        assert last.startswith(f"graft: cannot listen on 127.0.0.1 port {port}: another program")
        with serve(model=link, **shared) as second:
            link.unlink()
            link.symlink_to(other.path)
            httpx.post(f"{second.url}/admin/reload", timeout=60).raise_for_status()
            time.sleep(1.5)  # another worker follows within half a second
            versions = [
                httpx.get(f"{server.url}/model").json()["version"] for server in (first, second)
            ]
            assert versions == [tiny_bundle.manifest.version, other.manifest.version]
            httpx.post(f"{first.url}/predict", **post).raise_for_status()
            assert first.metrics()["graft_pictures_total"] == 2
            assert second.metrics()["graft_pictures_total"] == 0


def seal_another(folder: Path, bundle: Bundle) -> Bundle:
    """The same model by another name."""
    staging = Path(shutil.copytree(bundle.path, folder / "staging"))
    (staging / "manifest.json").unlink()
    return seal(staging, bundle.manifest.model_copy(update={"name": "another"}), folder)


SMALL_MEMORY = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
SMALL_MEMORY += ['mount -t tmpfs -o size=3m tmpfs /dev/shm && exec "$@"', "sh"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_under_the_figures_stops_nobody(serve: Any, draw: Any, workers: int) -> None:
    """Neither a series that is new then, nor the worker that takes a killed one's place."""
    if subprocess.run([*SMALL_MEMORY, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no user namespaces, or has no unshare")
    options = f"services.graft.workers={workers}"
    with serve(within=SMALL_MEMORY, BENTOML_CONFIG_OPTIONS=options) as server:
        full = Path("/proc", str(server.process.pid), "root", "dev", "shm")
        assert len(list(full.glob("graft-service-*"))) == 1
        with suppress(OSError), (full / "fill").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

        def ask() -> None:
            for _ in range(4):  # whichever worker it is
                files = {"image": draw()}
                assert httpx.post(f"{server.url}/predict", files=files, timeout=60).is_success
                files = {"image": b"no picture"}
                post = httpx.post(f"{server.url}/predict", files=files, timeout=60)
                assert post.status_code == 415

        ask()
        killed = server.workers()[0]
        killed.kill()
        killed.wait(10)
        ask()  # connections wait for the next one
        shown = server.metrics()
        assert shown["graft_pictures_total"] == 8
        assert shown['graft_requests_total{endpoint="/predict",status="415"}'] == 8
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_a_relative_model_is_found_by_workers_in_another_folder(
    serve: Any, tiny_bundle: Bundle
) -> None:
    """The caller stands elsewhere than the service's folder."""
    model = f"../{tiny_bundle.path.parent.name}/{tiny_bundle.path.name}"
    with serve(bento=str(ROOT), GRAFT_MODEL=model) as server:
        shown = httpx.get(f"{server.url}/model").json()
    assert shown["version"] == tiny_bundle.manifest.version


@pytest.mark.slow
def test_nobody_is_let_in_before_a_worker_can_answer(starting: Any) -> None:
    """Connections that are refused go to another replica; those that are let in would wait."""
    deadline = time.monotonic() + 90
    while True:
        try:
            connect(starting).close()
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert "answers by" in starting.log.read_text(), "the model is still being loaded"
    assert httpx.get(f"{starting.url}/readyz").status_code == 200


# Limits


@pytest.fixture(scope="module")
def small(serve: Any) -> Iterator[Any]:
    """A service that has room for one picture, and little time."""
    with serve(
        GRAFT_TOP_K="1",
        GRAFT_THREADS="1",
        GRAFT_MAX_PICTURES="1",
        GRAFT_MAX_QUEUE_SIZE="1",
        GRAFT_DEADLINE_SECONDS="0.3",
        GRAFT_UPLOAD_TIMEOUT_SECONDS="1",
    ) as server:
        yield server


def send(server: Any, picture: bytes) -> httpx.Response:
    return httpx.post(f"{server.url}/predict", files={"image": picture}, timeout=60)


def send_until_answered(server: Any, picture: bytes) -> dict[str, Any]:
    """As clients should do: come back after 429 and 504."""
    deadline = time.monotonic() + 60
    while (response := send(server, picture)).status_code != 200:
        assert response.status_code in (429, 504)
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return dict(response.json())


def test_settings_of_the_environment_are_used(small: Any, draw: Any) -> None:
    answer = send_until_answered(small, draw("blue"))
    assert [entry["label"] for entry in answer["top"]] == ["blue"]
    two = httpx.post(f"{small.url}/predict_batch", files=[("images", b"x")] * 2, timeout=60)
    assert two.status_code == 413
    assert "at most 1 picture is accepted in `images`" in two.json()["error"]["message"]


def test_overload_and_deadline_are_answered_and_pass(
    small: Any, slow_picture: bytes, draw: Any
) -> None:
    with ThreadPoolExecutor(6) as threads:
        responses = list(threads.map(lambda _: send(small, slow_picture), range(6)))
    by_status = {response.status_code: response for response in responses}
    assert set(by_status) == {429, 504}
    overloaded, late = by_status[429], by_status[504]
    assert overloaded.headers["retry-after"] == "1"
    assert overloaded.json()["error"]["code"] == "overloaded"
    assert late.json() == {
        "error": {"code": "deadline_exceeded", "message": "no answer within 0.3 s"}
    }
    assert send_until_answered(small, draw("green"))["label"] == "green"
    metrics = small.metrics()
    assert metrics["graft_queue_depth_pictures"] == 0
    assert metrics['graft_requests_total{endpoint="/predict",status="429"}'] >= 1
    assert metrics['graft_refusals_total{reason="deadline_exceeded"}'] >= 1


def test_body_that_does_not_arrive_is_given_up_with_our_shape(small: Any, draw: Any) -> None:
    with connect(small) as connection:
        begin(connection, 1000)
        connection.sendall(draw()[:100])
        status, answer = answer_of(connection)
    assert status == 408
    assert answer == {
        "error": {
            "code": "request_timeout",
            "message": "less than 240 bytes of the body arrived in 1 s",
        }
    }


def test_body_that_keeps_coming_is_waited_for(small: Any, draw: Any) -> None:
    """Three times as long as it may stand still."""
    picture = draw("green") + bytes(3_000)
    with connect(small) as connection:
        begin(connection, len(picture))
        for at in range(0, len(picture), 1 + len(picture) // 10):
            connection.sendall(picture[at : at + 1 + len(picture) // 10])
            time.sleep(0.3)
        status, answer = answer_of(connection)
    assert (status, answer["label"]) == (200, "green")


@pytest.mark.slow
def test_uploads_that_do_not_end_hold_no_more_than_the_room_there_is(serve: Any, draw: Any) -> None:
    """The queue does not see them: it counts pictures that are there."""
    limits = {"GRAFT_MAX_REQUEST_BYTES": "3000000", "GRAFT_MAX_UPLOAD_BYTES": "3000000"}
    head = b"POST /predict HTTP/1.1\r\nHost: graft\r\nContent-Type: image/jpeg\r\n"
    with serve(**limits) as server:
        with ExitStack() as connections:
            uploads = [connections.enter_context(connect(server)) for _ in range(20)]
            for upload in uploads:
                upload.sendall(head + b"Content-Length: 1000000\r\n\r\n" + bytes(900_000))
            for _ in range(100):
                answered, _, _ = select.select(uploads, [], [], 0)
                if len(answered) >= 17:  # the other three fit
                    break
                time.sleep(0.1)
            answers = [answer_of(upload) for upload in answered]
        assert [status for status, _ in answers] == [429] * len(answers)
        assert len(answers) >= 17
        assert "at most 3,000,000 are let in" in answers[0][1]["error"]["message"]
        assert send_until_answered(server, draw("green") + bytes(1_000_000))["label"] == "green"


# End


@pytest.fixture
def two_workers(serve: Any) -> Iterator[Any]:
    with serve(BENTOML_CONFIG_OPTIONS="services.graft.workers=2") as server:
        yield server


@pytest.mark.slow
def test_workers_share_their_metrics_and_sigterm_lets_them_finish(
    two_workers: Any, draw: Any
) -> None:
    assert len(two_workers.workers()) == 2
    runtime = httpx.get(f"{two_workers.url}/model").json()["runtime"]
    assert (runtime["workers"], runtime["threads"]) == (2, max(1, usable_cores() // 2))
    with ThreadPoolExecutor(8) as threads:  # each request on a connection of its own
        list(
            threads.map(
                lambda _: httpx.post(
                    f"{two_workers.url}/predict", files={"image": draw()}, timeout=60
                ).raise_for_status(),
                range(30),
            )
        )
    for _ in range(10):  # whichever worker is asked
        metrics = two_workers.metrics()
        assert metrics["graft_pictures_total"] == 30
        assert [v for k, v in metrics.items() if k.startswith("graft_model_info{")] == [1]

    picture = draw("blue")
    with connect(two_workers) as connection:
        begin(connection, len(picture))
        connection.sendall(picture[:100])
        two_workers.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(picture[100:])
        status, answer = answer_of(connection)
    assert (status, answer["label"]) == (200, "blue")
    assert two_workers.process.wait(20) == 0
    assert "Traceback" not in two_workers.log.read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{two_workers.url}/livez")


def test_sigterm_means_refusing_for_a_while_and_then_the_servers_own_stop(classifier: Any) -> None:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))

    async def drain() -> None:
        classifier.drain_on_sigterm()
        assert classifier.__is_ready__()
        os.kill(os.getpid(), signal.SIGTERM)
        assert not classifier.__is_ready__()
        await asyncio.sleep(0.1)
        assert stopped == []
        await asyncio.sleep(0.5)

    asyncio.run(drain())
    assert stopped == [signal.SIGTERM]


def test_closing_lets_requests_leave_that_were_given_up(classifier: Any) -> None:
    """As at the end of --timeout-graceful-shutdown, when they are cancelled and not waited for."""

    async def shut_down() -> None:
        async def ask() -> None:
            with classifier.state.model.admit(2):
                await asyncio.gather(asyncio.sleep(60), asyncio.sleep(60))

        asked = asyncio.create_task(ask())
        await asyncio.sleep(0.01)
        asked.cancel()
        await classifier.close()
        assert asked.cancelled()

    closing = threading.Thread(target=asyncio.run, args=(shut_down(),), daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()


@pytest.mark.slow
def test_draining_is_seen_from_outside_before_the_server_closes(serve: Any, draw: Any) -> None:
    picture = draw("blue")
    with (
        serve(GRAFT_DRAIN_SECONDS="3") as server,
        httpx.Client(base_url=server.url) as kept,
        connect(server) as accepted,
    ):
        assert kept.get("/readyz").status_code == 200
        begin(accepted, len(picture))
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        for client in (kept, httpx):  # a kept connection, and new ones
            base = "" if client is kept else server.url
            ready = client.get(f"{base}/readyz")
            refused = client.post(f"{base}/predict", files={"image": picture})
            assert (ready.status_code, refused.status_code) == (503, 503)
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["error"]["code"] == "draining"
            assert client.get(f"{base}/livez").status_code == 200
        accepted.sendall(picture)
        status, answer = answer_of(accepted)
        assert (status, answer["label"]) == (200, "blue")
        assert server.process.wait(20) == 0
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def terminal() -> Iterator[int]:
    """The file descriptor of a terminal on which somebody watches."""
    ours, theirs = pty.openpty()

    def watch() -> None:
        with suppress(OSError):  # nobody writes there any more
            while os.read(ours, 10_000):
                pass

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield theirs
    os.close(theirs)
    watcher.join(30)
    os.close(ours)


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_stops_at_once(serve: Any, terminal: int) -> None:
    with serve(stderr=terminal, GRAFT_DRAIN_SECONDS="60") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
