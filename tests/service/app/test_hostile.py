"""Hostile requests to the running service: each gets an error in our format, never a 500."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from service.bundle.manifest import Manifest
from service.bundle.sealing import seal
from service.oip.request import HEADER_LENGTH
from service.settings import Settings

MEGABYTE = 1_000_000
MULTIPART = {"content-type": "multipart/form-data; boundary=edge"}
JPEG = {"content-type": "image/jpeg"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def error_code(response: httpx.Response, status: int) -> str:
    """Check status and format of an error; return its code."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    content = response.json()
    assert set(content) == {"error"}
    assert set(content["error"]) == {"code", "message"}
    assert content["error"]["message"]
    return str(content["error"]["code"])


def png_header(width: int, height: int) -> bytes:
    """A PNG of 50 bytes that claims to be large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", header), (b"IDAT", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def part(name: str, content: bytes, file: bool = True) -> bytes:
    filename = '; filename="x.jpg"' if file else ""
    head = f'--edge\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
    return head.encode() + content + b"\r\n"


# Bodies

BODIES = {
    "text called .jpg": (415, "unsupported_media_type", b"I am no picture"),
    "SVG": (415, "unsupported_media_type", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
    "GIF": (415, "unsupported_media_type", b"GIF89a" + bytes(50)),
    "empty": (400, "undecodable_image", b""),
    "100 megapixels": (413, "too_large", png_header(10_000, 10_000)),
    "no pixels": (400, "undecodable_image", png_header(0, 0)),
    "a JPEG's first bytes": (400, "undecodable_image", b"\xff\xd8\xff\xe0" + bytes(99)),
    "a WebP's first bytes": (400, "undecodable_image", b"RIFF\xff\xff\xff\xffWEBPVP8X" + bytes(99)),
}


@pytest.mark.parametrize("name", BODIES)
def test_bytes_that_are_not_a_picture_are_refused(client: httpx.Client, name: str) -> None:
    status, code, body = BODIES[name]
    by_form = client.post("/predict", files={"image": ("leaf.jpg", body, "image/jpeg")})
    by_body = client.post("/predict", content=body, headers=JPEG)
    assert error_code(by_form, status) == error_code(by_body, status) == code
    assert by_form.json() == by_body.json()


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.6, 0.9])
def test_truncated_jpeg_is_undecodable(client: httpx.Client, draw: Any, fraction: float) -> None:
    picture = draw(size=(640, 480))
    response = client.post(
        "/predict", content=picture[: int(len(picture) * fraction)], headers=JPEG
    )
    assert error_code(response, 400) == "undecodable_image"


# Requests

REQUESTS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "no body": (422, "missing_field", {}),
    "JSON with an address": (422, "missing_field", {"json": {"image": "http://127.0.0.1/"}}),
    "JSON of another API": (422, "missing_field", {"json": {"instances": [{"b64": ""}]}}),
    "JSON cut short": (400, "malformed_request", {"content": b'{"', "headers": JSON}),
    "deeply nested JSON": (400, "malformed_request", {"content": b"[" * 999_999, "headers": JSON}),
    "too large top_k": (
        400,
        "bad_parameter",
        {"params": {"top_k": 10**9}, "content": b"x", "headers": JPEG},
    ),
    "cut form": (400, "malformed_request", {"content": b"--edge\r\n", "headers": MULTIPART}),
    "pickle": (
        415,
        "unsupported_media_type",
        {"content": b"cos\n", "headers": {"content-type": "application/vnd.bentoml+pickle"}},
    ),
    "URL-encoded form": (415, "unsupported_media_type", {"data": {"image": "x"}}),
    "text in the file field": (
        422,
        "missing_field",
        {"content": part("image", b"text", file=False) + b"--edge--\r\n", "headers": MULTIPART},
    ),
    "another field": (422, "missing_field", {"files": {"picture": b"x"}}),
    "two pictures": (413, "too_large", {"files": [("image", b"x"), ("image", b"y")]}),
    "no boundary": (
        400,
        "malformed_request",
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
    ),
    "broken form": (400, "malformed_request", {"content": b"x" * 999, "headers": MULTIPART}),
    "a thousand fields": (
        400,
        "malformed_request",
        {"content": part("a", b"", file=False) * 1000, "headers": MULTIPART},
    ),
    "unknown charset": (
        422,
        "missing_field",
        {
            "content": part("\u00fc", b"x") + b"--edge--\r\n",
            "headers": {"content-type": "multipart/form-data; boundary=edge; charset=klingon"},
        },
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_malformed_uploads_are_refused(client: httpx.Client, name: str) -> None:
    status, code, request = REQUESTS[name]
    assert error_code(client.post("/predict", **request), status) == code


def test_too_many_pictures_are_refused_with_the_limit(client: httpx.Client) -> None:
    response = client.post("/predict_batch", files=[("images", b"x")] * 33)
    assert error_code(response, 413) == "too_large"
    assert "at most 32 pictures" in response.json()["error"]["message"]


def test_a_batch_must_be_a_form(client: httpx.Client, draw: Any) -> None:
    response = client.post("/predict_batch", content=draw(), headers=JPEG)
    assert error_code(response, 415) == "unsupported_media_type"


@pytest.mark.parametrize("form", ["multipart", "urlencoded", "json"])
def test_a_url_in_a_file_field_is_never_fetched(client: httpx.Client, form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/leaf.jpg"
        for path, field in (("/predict", "image"), ("/predict_batch", "images")):
            content = part(field, address.encode(), file=False) + b"--edge--\r\n"
            request: dict[str, dict[str, Any]] = {
                "multipart": {"content": content, "headers": MULTIPART},
                "urlencoded": {"data": {field: address}},
                "json": {"json": {field: address}},
            }
            assert client.post(path, **request[form]).status_code in (415, 422)
        listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/predict", 405, "method_not_allowed"),
        ("PUT", "/predict_batch", 405, "method_not_allowed"),
        ("DELETE", "/model", 405, "method_not_allowed"),
        ("POST", "/metrics", 405, "method_not_allowed"),
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/nothing/predict", 404, "not_found"),
        ("GET", "/static_content/%2e%2e/%2e%2e/service/app.py", 404, "not_found"),
        ("GET", "/%00", 404, "not_found"),
        ("GET", "/" + "x" * 5000, 404, "not_found"),
    ],
)
def test_wrong_methods_and_paths_get_the_error_format(
    client: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    assert error_code(client.request(method, path), status) == code


# Size


def pieces(megabytes: int) -> Iterator[bytes]:
    for _ in range(megabytes):
        yield bytes(MEGABYTE)


def test_fifty_megabytes_are_refused_and_the_client_gets_the_error(client: httpx.Client) -> None:
    announced = client.post("/predict", content=bytes(50 * MEGABYTE), headers=JPEG)
    chunked = client.post("/predict", content=pieces(50), headers=JPEG)
    by_form = client.post("/predict", files={"image": bytes(50 * MEGABYTE)})
    form = itertools.chain([part("images", b"")[:-2]], pieces(70))
    over_request_limit = client.post("/predict_batch", content=form, headers=MULTIPART)
    for response in (announced, chunked, by_form, over_request_limit):
        assert error_code(response, 413) == "too_large"
    assert f"{Settings().max_image_bytes:,}" in announced.json()["error"]["message"]
    assert "67,108,864" in over_request_limit.json()["error"]["message"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize(
    ("kind", "size", "status"),
    [("image/png", 50 * MEGABYTE, 413), ("text/plain", 2 * MEGABYTE, 415)],
)
def test_a_client_that_sends_before_it_reads_gets_the_error(
    server: Any, kind: str, size: int, status: int
) -> None:
    """urllib closes after each request: with bytes unread, the answer would be lost in a reset."""
    request = urllib.request.Request(
        f"{server.url}/predict", bytes(size), {"Content-Type": kind, "Connection": "close"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == status
    assert set(json.load(refused.value)) == {"error"}


def test_the_error_without_a_content_type_names_the_option_of_curl(
    server: Any, tmp_path: Path, draw: Any
) -> None:
    (tmp_path / "leaf.jpg").write_bytes(draw("blue"))
    command = ["curl", "-sS", "--data-binary", f"@{tmp_path}/leaf.jpg", f"{server.url}/predict"]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "-H 'Content-Type: image/jpeg'" in completed.stdout
    corrected = [*command, "-H", "Content-Type: image/jpeg"]
    completed = subprocess.run(corrected, capture_output=True, text=True, timeout=60, check=False)
    assert completed.stdout.startswith('{"label":"blue"')


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize(
    "options",
    [
        ["--data-binary", "@{file}"],
        ["--data-binary", "@{file}", "-H", "Expect:"],
        ["--data-binary", "@{file}", "-H", "Expect:", "-H", "Transfer-Encoding: chunked"],
        ["-F", "image=@{file}"],
    ],
    ids=["Expect: 100-continue", "announced", "chunked", "form"],
)
def test_curl_gets_the_error(server: Any, tmp_path: Path, options: list[str]) -> None:
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(50 * MEGABYTE)
    arguments = [option.format(file=large) for option in options]
    media_type = [] if "-F" in arguments else ["-H", "Content-Type: image/jpeg"]
    command = [
        "curl",
        "-sS",
        "-w",
        "\n%{http_code}",
        *arguments,
        *media_type,
        f"{server.url}/predict",
    ]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.startswith('{"error":{"code":"too_large"')
    assert completed.stdout.endswith("\n413")


def test_an_error_does_not_wait_for_the_body_and_keeps_the_connection(server: Any) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: graft\r\nContent-Type: text/plain\r\n"
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        connection.settimeout(60)
        waits = []
        for _ in range(6):
            start_time = time.monotonic()
            connection.sendall(head + b"Content-Length: 100000\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 415 ")
            waits.append(time.monotonic() - start_time)
            connection.sendall(bytes(100_000))
    assert min(waits) < 5  # waiting for the rest would take that long each time


@pytest.mark.parametrize("charset", ["charset=punycode", "charset*=utf-8''punycode"])
def test_a_client_cannot_choose_the_charset(
    server: Any, client: httpx.Client, charset: str
) -> None:
    """Half a megabyte of punycode would block the event loop for half a minute."""
    letters = b"a" * 250_000
    headers = {"content-type": f"multipart/form-data; boundary=edge; {charset}"}
    body = part("x-", letters + b"-" + letters, file=False) + b"--edge--\r\n"
    (worker,) = server.workers()
    cpu_seconds_before = sum(worker.cpu_times()[:2])
    response = client.post("/predict", content=body, headers=headers)
    assert error_code(response, 422) == "missing_field"
    assert sum(worker.cpu_times()[:2]) - cpu_seconds_before < 10  # seconds of processor time


@pytest.mark.parametrize(
    "parameters",
    [
        "boundary*=idna''edge",
        "boundary*=utf-8''a; boundary*1=b",
        "boundary*=punycode''abc-%FF",
        "boundary=" + "e" * 600,
        ";" * 60_000,
    ],
)
def test_an_odd_content_type_is_a_client_error(client: httpx.Client, parameters: str) -> None:
    headers = {"content-type": f"multipart/form-data; {parameters}"}
    response = client.post("/predict", content=b"x", headers=headers)
    assert error_code(response, 400) == "malformed_request"


# Everything together


def test_hostile_requests_change_neither_memory_nor_answers(
    server: Any, client: httpx.Client, draw: Any
) -> None:
    (worker,) = server.workers()

    def attack(rounds: int) -> None:
        for number in range(rounds):
            for _, _, body in BODIES.values():
                client.post("/predict", content=body, headers=JPEG)
            for _, _, request in REQUESTS.values():
                client.post("/predict_batch", **request)
            client.get(f"/made-up-{number}")
            client.post("/predict", content=draw()[:-40], headers=JPEG)
            client.post("/predict", content=pieces(3), headers=MULTIPART)

    attack(3)
    memory_before = worker.memory_info().rss
    attack(20)
    assert worker.memory_info().rss - memory_before < 30 * MEGABYTE
    assert client.post("/predict", files={"image": draw("blue")}).json()["label"] == "blue"


def v2_request(picture: bytes) -> dict[str, Any]:
    """A binary request: JSON with the length of the data, then the data with its length."""
    data = struct.pack("<I", len(picture)) + picture
    images = {"name": "images", "shape": [1], "datatype": "BYTES"}
    images["parameters"] = {"binary_data_size": len(data)}  # type: ignore[assignment]
    head = json.dumps({"inputs": [images]}).encode()
    return {"content": head + data, "headers": {HEADER_LENGTH: str(len(head))}}


def chunked_body(megabytes: int) -> Iterator[bytes]:
    """Yield the pieces of a body without a Content-Length."""
    return itertools.repeat(bytes(MEGABYTE), megabytes)


def large_requests() -> dict[str, tuple[str, dict[str, Any]]]:
    """Requests of 10 MB and more, each refused by another part of the service."""
    bad = b"\xff\xd8\xff" + bytes(10 * MEGABYTE)
    large = bytes(25 * MEGABYTE)
    broken = part("image", large) + b"--edge\r\nno header at all\r\n\r\n"
    return {
        "a picture": ("/predict", {"files": {"image": bad}}),
        "as the body": ("/predict", {"content": bad, "headers": JPEG}),
        "too long": ("/predict", {"content": chunked_body(25), "headers": JPEG}),
        "too large a field": ("/predict", {"files": {"image": large}}),
        "broken form": ("/predict", {"content": broken, "headers": MULTIPART}),
        "no such field": ("/predict", {"files": {"picture": large}}),
        "in a batch": ("/predict_batch", {"files": {"images": bad}}),
        "too large in a batch": ("/predict_batch", {"files": {"images": large}}),
        "in v2": ("/v2/models/tiny/infer", v2_request(bad)),
        "too large in v2": ("/v2/models/tiny/infer", v2_request(large)),
        "no JSON in v2": ("/v2/models/tiny/infer", {"content": bad}),
        "another media type": ("/predict", {"content": bad, "headers": {"content-type": "a/b"}}),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", large_requests())
def test_refused_bodies_do_not_stay_in_memory(server: Any, client: httpx.Client, name: str) -> None:
    """An error's traceback refers to the frames that hold the body."""
    (worker,) = server.workers()

    def memory_after(requests: int) -> int:
        for _ in range(requests):
            path, request = large_requests()[name]
            assert "error" in client.post(path, **request).text
        return int(worker.memory_info().rss)

    memory_before = memory_after(5)
    assert (
        memory_after(15) - memory_before < 60 * MEGABYTE
    )  # 150 MB and more if bodies stay in memory


def test_the_service_survives_disconnects(server: Any, client: httpx.Client, draw: Any) -> None:
    port = int(server.url.rpartition(":")[2])
    head = b"POST /predict HTTP/1.1\r\nHost: graft\r\nContent-Type: image/jpeg\r\n"
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head + b"Content-Length: 1000\r\n\r\n" + draw()[:300])
    threads = [
        threading.Thread(
            target=client.post, args=("/predict",), kwargs={"files": {"image": draw()}}
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    metrics = server.metrics()
    assert metrics["graft_queue_depth_pictures"] == 0
    assert metrics['graft_requests_total{endpoint="/predict",status="499"}'] >= 20


def test_no_request_of_this_file_caused_an_internal_error(server: Any) -> None:
    assert not internal_errors(server)
    pickles = server.log.read_text().count("BentoMLException: application/vnd.bentoml+pickle")
    assert server.log.read_text().count("Traceback") == pickles


# A bug


def internal_errors(server: Any) -> dict[str, float]:
    return {name: n for name, n in server.metrics().items() if 'status="500"' in name and n}


@pytest.fixture
def failing_model(staging: Path, manifest: Manifest) -> Path:
    """A bundle whose model fails on white pictures: their darkest value is not a valid index."""
    model = onnx.load(staging / "model.onnx")
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "row"))
    graph.node[-1].output[0] = "sure"
    graph.node.extend(
        [
            helper.make_node("Cast", ["images"], ["levels"], to=TensorProto.INT32),
            helper.make_node("ReduceMin", ["levels"], ["darkest"], keepdims=0),
            helper.make_node("Gather", ["row", "darkest"], ["zero"]),
            helper.make_node("Add", ["sure", "zero"], ["probabilities"]),
        ]
    )
    onnx.save(model, staging / "model.onnx")
    return seal(staging, manifest, staging.parent).path


@pytest.mark.slow
def test_a_bug_is_counted_and_logged_and_hidden_from_the_client(
    serve: Any, failing_model: Path, draw: Any
) -> None:
    white = io.BytesIO()
    Image.new("RGB", (64, 48), "white").save(white, "PNG")
    with serve(GRAFT_MODEL=str(failing_model)) as server:
        assert httpx.post(f"{server.url}/predict", files={"image": draw()}).status_code == 200
        assert not internal_errors(server)
        for path, field in (("/predict", "image"), ("/predict_batch", "images")):
            response = httpx.post(f"{server.url}{path}", files={field: white.getvalue()})
            assert error_code(response, 500) == "internal_server_error"
            message = response.json()["error"]["message"]
            assert message == "an unexpected error occurred; the server's log has the details"
        assert internal_errors(server) == {
            f'graft_requests_total{{endpoint="{path}",status="500"}}': 1
            for path in ("/predict", "/predict_batch")
        }
        assert server.metrics()["graft_queue_depth_pictures"] == 0
        assert server.log.read_text().count("Traceback (most recent call last)") >= 2
        assert httpx.post(f"{server.url}/predict", files={"image": draw()}).status_code == 200
