"""The service from start to stop: refused configurations, limits, and shutdown."""

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
import psutil
import pytest

from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.system.resources import usable_cores

ROOT = Path(__file__).parents[3]
RefuseToServe = Callable[..., tuple[int, str]]


def connect(server: Any) -> socket.socket:
    port = int(server.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def begin_upload(connection: socket.socket, length: int) -> None:
    """Send the head of a request, and wait until the service asks for the body."""
    lines = ["POST /predict HTTP/1.1", "Host: graft", "Content-Type: image/jpeg"]
    lines += [f"Content-Length: {length}", "Expect: 100-continue", "", ""]
    connection.sendall("\r\n".join(lines).encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")


def read_answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    response = HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read())


# Start


def test_training_code_is_not_needed(server: Any) -> None:
    """TensorFlow, Keras, onnx, plugins and trainers cannot be imported in these processes."""
    pids = {server.process.pid, *(worker.pid for worker in server.workers())}
    assert len(pids) == 2
    assert pids <= {int(line) for line in server.blocker_log.read_text().split()}


@pytest.mark.slow
def test_altered_bundle_ends_the_service_with_our_message(
    bundle_copy: Path, refuse_to_serve: RefuseToServe
) -> None:
    model = bundle_copy / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(bytes(data))
    code, log = refuse_to_serve(bundle_copy)
    assert code == 1
    assert f"graft: {bundle_copy}: model.onnx was altered (checksum differs); copy the" in log
    assert "Traceback" not in log
    assert "Starting" not in log


@pytest.mark.slow
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
    code, log = refuse_to_serve(model, **settings)
    assert code == 1
    assert message in log
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_challenger_that_cannot_be_loaded_ends_the_service(
    refuse_to_serve: RefuseToServe, tiny_bundle: Bundle
) -> None:
    code, log = refuse_to_serve(tiny_bundle.path, GRAFT_SHADOW="nothing:latest")
    assert code == 1
    assert "graft: no model 'nothing:latest'" in log
    assert "set GRAFT_SHADOW to a bundle folder or a tag" in log
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_challenger_runs_beside_the_service_and_ends_with_it(
    serve: Any, tiny_bundle: Bundle, draw: Any
) -> None:
    def count(result: str) -> float:
        counted: float = server.metrics()[f'graft_shadow_pictures_total{{result="{result}"}}']
        return counted

    def predict_until_counted(result: str) -> None:
        deadline = time.monotonic() + 60
        before = count(result)
        while count(result) == before:
            assert time.monotonic() < deadline
            files = {"image": draw("blue")}
            response = httpx.post(f"{server.url}/predict", files=files, timeout=60)
            assert response.json()["label"] == "blue"

    with serve(GRAFT_SHADOW=str(tiny_bundle.path), GRAFT_SHADOW_SHARE="1") as server:
        (worker,) = server.workers()
        (challenger,) = worker.children()
        version = tiny_bundle.manifest.version
        assert httpx.get(f"{server.url}/model").json()["shadow"]["version"] == version
        predict_until_counted("agree")
        assert count("disagree") == count("failed") == 0
        challenger.kill()
        predict_until_counted("failed")
        assert "failed: its process has ended" in server.log.read_text()
    with serve(GRAFT_SHADOW=str(tiny_bundle.path)) as server:
        (challenger,) = server.workers()[0].children()
        server.workers()[0].kill()
        psutil.wait_procs([challenger], timeout=60)
        assert not challenger.is_running()


@pytest.mark.slow
def test_services_of_one_home_are_independent(
    serve: Any, refuse_to_serve: RefuseToServe, tiny_bundle: Bundle, draw: Any, tmp_path: Path
) -> None:
    """They share no metrics or reloads, and a service whose port is taken disturbs no other."""
    other_bundle = seal_another(tmp_path, tiny_bundle)
    link = tmp_path / "link"
    link.symlink_to(tiny_bundle.path)
    settings = {"BENTOML_HOME": str(tmp_path / "home"), "GRAFT_RELOAD": "1"}
    with serve(model=link, **settings) as first_server:
        post = {"files": {"image": draw()}, "timeout": 60}
        httpx.post(f"{first_server.url}/predict", **post).raise_for_status()
        port = int(first_server.url.rpartition(":")[2])
        code, log = refuse_to_serve(tiny_bundle.path, port=port, **settings)
        assert code == 1
        assert "Traceback" not in log
        last_line = log.splitlines()[-1]
        assert last_line.startswith(
            f"graft: cannot listen on 127.0.0.1 port {port}: another program"
        )
        with serve(model=link, **settings) as second_server:
            link.unlink()
            link.symlink_to(other_bundle.path)
            httpx.post(f"{second_server.url}/admin/reload", timeout=60).raise_for_status()
            time.sleep(1.5)  # another worker follows within half a second
            versions = [
                httpx.get(f"{server.url}/model").json()["version"]
                for server in (first_server, second_server)
            ]
            assert versions == [tiny_bundle.manifest.version, other_bundle.manifest.version]
            httpx.post(f"{first_server.url}/predict", **post).raise_for_status()
            assert first_server.metrics()["graft_pictures_total"] == 2
            assert second_server.metrics()["graft_pictures_total"] == 0


def seal_another(folder: Path, bundle: Bundle) -> Bundle:
    """Seal the same model under another name."""
    staging = Path(shutil.copytree(bundle.path, folder / "staging"))
    (staging / "manifest.json").unlink()
    return seal(staging, bundle.manifest.model_copy(update={"name": "another"}), folder)


SMALL_MEMORY = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
SMALL_MEMORY += ['mount -t tmpfs -o size=3m tmpfs /dev/shm && exec "$@"', "sh"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_for_metrics_does_not_stop_the_service(
    serve: Any, draw: Any, workers: int
) -> None:
    """New series appear, and a killed worker is replaced."""
    if subprocess.run([*SMALL_MEMORY, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine has no user namespaces, or no unshare")
    options = f"services.graft.workers={workers}"
    with serve(wrapper=SMALL_MEMORY, BENTOML_CONFIG_OPTIONS=options) as server:
        shared_memory = Path("/proc", str(server.process.pid), "root", "dev", "shm")
        assert len(list(shared_memory.glob("graft-service-*"))) == 1
        with suppress(OSError), (shared_memory / "fill").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

        def post_pictures() -> None:
            for _ in range(4):  # reaches every worker
                files = {"image": draw()}
                assert httpx.post(f"{server.url}/predict", files=files, timeout=60).is_success
                files = {"image": b"no picture"}
                response = httpx.post(f"{server.url}/predict", files=files, timeout=60)
                assert response.status_code == 415

        post_pictures()
        killed = server.workers()[0]
        killed.kill()
        killed.wait(10)
        post_pictures()  # connections wait for the new worker
        samples = server.metrics()
        assert samples["graft_pictures_total"] == 8
        assert samples['graft_requests_total{endpoint="/predict",status="415"}'] == 8
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_a_relative_model_is_found_by_workers_in_another_folder(
    serve: Any, tiny_bundle: Bundle
) -> None:
    """The current folder of the caller is not the folder of the service."""
    model = f"../{tiny_bundle.path.parent.name}/{tiny_bundle.path.name}"
    with serve(bento=str(ROOT), GRAFT_MODEL=model) as server:
        manifest = httpx.get(f"{server.url}/model").json()
    assert manifest["version"] == tiny_bundle.manifest.version


@pytest.mark.slow
def test_connections_are_refused_until_a_worker_can_answer(starting: Any) -> None:
    """A refused connection goes to another replica; an accepted one would wait."""
    deadline = time.monotonic() + 90
    while True:
        try:
            connect(starting).close()
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert " runs with " in starting.log.read_text(), "the model was still being loaded"
    assert httpx.get(f"{starting.url}/readyz").status_code == 200


# Limits


@pytest.fixture(scope="module")
def small_service(serve: Any) -> Iterator[Any]:
    """A service with a queue of one picture and short timeouts."""
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
    """Retry after 429 and 504, as clients should."""
    deadline = time.monotonic() + 60
    while (response := send(server, picture)).status_code != 200:
        assert response.status_code in (429, 504)
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return dict(response.json())


def test_settings_of_the_environment_are_used(small_service: Any, draw: Any) -> None:
    answer = send_until_answered(small_service, draw("blue"))
    assert [entry["label"] for entry in answer["top"]] == ["blue"]
    response = httpx.post(
        f"{small_service.url}/predict_batch", files=[("images", b"x")] * 2, timeout=60
    )
    assert response.status_code == 413
    assert (
        "at most 1 picture is accepted per request, in field `images`"
        in response.json()["error"]["message"]
    )


@pytest.mark.slow
def test_overload_and_deadline_errors_are_temporary(
    small_service: Any, slow_picture: bytes, draw: Any
) -> None:
    with ThreadPoolExecutor(6) as threads:
        responses = list(threads.map(lambda _: send(small_service, slow_picture), range(6)))
    by_status = {response.status_code: response for response in responses}
    assert set(by_status) == {429, 504}
    overloaded, late = by_status[429], by_status[504]
    assert overloaded.headers["retry-after"] == "1"
    assert overloaded.json()["error"]["code"] == "overloaded"
    assert late.json() == {
        "error": {
            "code": "deadline_exceeded",
            "message": "the picture was not classified within 0.3 s; try again later",
        }
    }
    assert send_until_answered(small_service, draw("green"))["label"] == "green"
    metrics = small_service.metrics()
    assert metrics["graft_queue_depth_pictures"] == 0
    assert metrics['graft_requests_total{endpoint="/predict",status="429"}'] >= 1
    assert metrics['graft_refusals_total{reason="deadline_exceeded"}'] >= 1


def test_a_stalled_body_gets_an_error_in_our_format(small_service: Any, draw: Any) -> None:
    with connect(small_service) as connection:
        begin_upload(connection, 1000)
        connection.sendall(draw()[:100])
        status, answer = read_answer(connection)
    assert status == 408
    assert answer == {
        "error": {
            "code": "request_timeout",
            "message": "the request body arrives too slowly: less than 240 bytes in 1 s; use a "
            "faster connection, or send a smaller picture",
        }
    }


@pytest.mark.slow
def test_a_slow_but_steady_body_is_read(small_service: Any, draw: Any) -> None:
    """The upload takes three times as long as the timeout, but never stalls."""
    picture = draw("green") + bytes(3_000)
    for _ in range(5):
        with connect(small_service) as connection:
            begin_upload(connection, len(picture))
            for offset in range(0, len(picture), 1 + len(picture) // 10):
                connection.sendall(picture[offset : offset + 1 + len(picture) // 10])
                time.sleep(0.3)
            status, answer = read_answer(connection)
        if status != 504:  # a machine with other work may miss the deadline of 0.3 s
            break
    assert (status, answer["label"]) == (200, "green")


@pytest.mark.slow
def test_unfinished_uploads_hold_no_more_than_the_quota(serve: Any, draw: Any) -> None:
    """The queue does not count them: it counts complete pictures."""
    limits = {"GRAFT_MAX_REQUEST_BYTES": "3000000", "GRAFT_MAX_UPLOAD_BYTES": "3000000"}
    limits |= {"GRAFT_UPLOAD_TIMEOUT_SECONDS": "30"}
    head = b"POST /predict HTTP/1.1\r\nHost: graft\r\nContent-Type: image/jpeg\r\n"
    with serve(**limits) as server:
        with ExitStack() as connections:
            uploads = [connections.enter_context(connect(server)) for _ in range(20)]
            for upload in uploads:
                upload.sendall(head + b"Content-Length: 1000000\r\n\r\n" + bytes(900_000))
            for _ in range(250):
                answered, _, _ = select.select(uploads, [], [], 0)
                if len(answered) >= 17:  # the other three fit
                    break
                time.sleep(0.1)
            answers = [read_answer(upload) for upload in answered]
        assert [status for status, _ in answers] == [429] * len(answers)
        assert len(answers) >= 17
        assert "of 3,000,000 bytes are used" in answers[0][1]["error"]["message"]
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
    for _ in range(10):  # reaches every worker
        metrics = two_workers.metrics()
        assert metrics["graft_pictures_total"] == 30
        assert [v for k, v in metrics.items() if k.startswith("graft_model_info{")] == [1]

    picture = draw("blue")
    with connect(two_workers) as connection:
        begin_upload(connection, len(picture))
        connection.sendall(picture[:100])
        two_workers.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(picture[100:])
        status, answer = read_answer(connection)
    assert (status, answer["label"]) == (200, "blue")
    assert two_workers.process.wait(90) == 0
    assert "Traceback" not in two_workers.log.read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{two_workers.url}/livez")


def test_sigterm_drains_and_then_stops_the_server(classifier: Any) -> None:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))

    async def drain() -> None:
        classifier.drain_on_sigterm()
        assert classifier.__is_ready__()
        os.kill(os.getpid(), signal.SIGTERM)
        assert not classifier.__is_ready__()
        assert stopped == []
        start_time = time.monotonic()
        async with asyncio.timeout(60):
            while not stopped:
                await asyncio.sleep(0.01)
        assert time.monotonic() - start_time > 0.2

    asyncio.run(drain())
    assert stopped == [signal.SIGTERM]


def test_closing_lets_cancelled_requests_finish(classifier: Any) -> None:
    """uvicorn cancels them at the end of --timeout-graceful-shutdown, and does not wait."""

    async def shut_down() -> None:
        async def hold_pictures() -> None:
            with classifier.state.model.admit(2):
                await asyncio.gather(asyncio.sleep(60), asyncio.sleep(60))

        task = asyncio.create_task(hold_pictures())
        await asyncio.sleep(0.01)
        task.cancel()
        await classifier.close()
        assert task.cancelled()

    closing = threading.Thread(target=asyncio.run, args=(shut_down(),), daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()


@pytest.mark.slow
def test_draining_is_visible_before_the_server_closes(serve: Any, draw: Any) -> None:
    picture = draw("blue")
    with (
        serve(GRAFT_DRAIN_SECONDS="6") as server,
        httpx.Client(base_url=server.url) as kept_client,
        connect(server) as accepted,
    ):
        assert kept_client.get("/readyz").status_code == 200
        begin_upload(accepted, len(picture))
        server.process.send_signal(signal.SIGTERM)
        while httpx.get(f"{server.url}/readyz").status_code == 200:
            time.sleep(0.05)
        for client in (kept_client, httpx):  # a kept connection, and new ones
            base = "" if client is kept_client else server.url
            ready = client.get(f"{base}/readyz")
            refused = client.post(f"{base}/predict", files={"image": picture})
            assert (ready.status_code, refused.status_code) == (503, 503)
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["error"]["code"] == "draining"
            assert client.get(f"{base}/livez").status_code == 200
        accepted.sendall(picture)
        status, answer = read_answer(accepted)
        assert (status, answer["label"]) == (200, "blue")
        assert server.process.wait(90) == 0
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def terminal() -> Iterator[int]:
    """The file descriptor of a terminal whose output is read."""
    reader, writer = pty.openpty()

    def watch() -> None:
        with suppress(OSError):  # the other end is closed
            while os.read(reader, 10_000):
                pass

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield writer
    os.close(writer)
    watcher.join(30)
    os.close(reader)


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_stops_at_once(serve: Any, terminal: int) -> None:
    with serve(stderr=terminal, GRAFT_DRAIN_SECONDS="60") as server:
        server.process.send_signal(signal.SIGINT)
        # less than the drain time, which matters only behind a proxy
        assert server.process.wait(50) == 0
