"""The running service through the Open Inference Protocol, with Triton's own client."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from prometheus_client import CollectorRegistry
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from service.bundle.reading import Bundle
from service.engine.session_config import SessionConfig, TuningResult
from service.imaging import decode
from service.metrics import Metrics
from service.oip.handlers import SERVER_VERSION
from service.served_model import ServedModel
from service.settings import Settings

PAGE = Path(__file__).parents[3] / "docs/serving.md"

INFER = "/v2/models/tiny/infer"
SIZE = 32
COLOURS = ("blue", "red", "green")


@pytest.fixture(scope="module")
def triton(server: Any) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield client


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[httpx.Client]:
    no_keep_alive = httpx.Limits(max_keepalive_connections=0)  # the server may close idle ones
    with httpx.Client(base_url=server.url, timeout=60, limits=no_keep_alive) as client:
        yield client


def encoded_input(*pictures: bytes, binary: bool = True, column: bool = False) -> InferInput:
    """An input of encoded pictures; in JSON, they are base64."""
    data = pictures if binary else tuple(map(base64.b64encode, pictures))
    array = np.array(data, np.object_)
    array = array[:, np.newaxis] if column else array
    images = InferInput("images", list(array.shape), "BYTES")
    return images.set_data_from_numpy(array, binary_data=binary)


def decoded_input(*pictures: bytes, binary: bool = True) -> InferInput:
    """An input of the same pictures, decoded and resized for the model."""
    array = np.stack([decode(picture, SIZE) for picture in pictures])
    images = InferInput("images", list(array.shape), "UINT8")
    return images.set_data_from_numpy(array, binary_data=binary)


def predicted(client: httpx.Client, picture: bytes) -> NDArray[np.float32]:
    """The probabilities that /predict returns, in the order of the classes."""
    answer = client.post("/predict", files={"image": picture}).json()
    scores = {entry["label"]: entry["score"] for entry in answer["top"]}
    return np.array([scores[name] for name in ("red", "green", "blue")], np.float32)


def error_text(response: httpx.Response, status: int) -> str:
    """Check status and format of an error of the protocol; return its text."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    content = response.json()
    assert set(content) == {"error"}
    assert isinstance(content["error"], str)
    assert content["error"]
    return str(content["error"])


def json_input(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "data": ["AAAA"], **changes}
    return {"inputs": [tensor]}


# Server and model


def test_server_and_model_are_live_and_ready(triton: Any, tiny_bundle: Bundle) -> None:
    version = tiny_bundle.manifest.version
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("tiny")
    assert triton.is_model_ready("tiny", version)
    assert not triton.is_model_ready("tiny", "1")
    assert not triton.is_model_ready("small")


def test_probes_answer_like_kserves(client: httpx.Client, tiny_bundle: Bundle) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    version = tiny_bundle.manifest.version
    ready = client.get("/v2/models/tiny/ready").json()
    assert ready == {"name": "tiny", "version": version, "ready": True}


def test_metadata(triton: Any, tiny_bundle: Bundle) -> None:
    server = triton.get_server_metadata()
    assert server == {
        "name": "graft",
        "version": SERVER_VERSION,
        "extensions": ["binary_tensor_data"],
    }
    version = tiny_bundle.manifest.version
    metadata = triton.get_model_metadata("tiny")
    assert metadata == triton.get_model_metadata("tiny", version)
    assert (metadata["name"], metadata["versions"]) == ("tiny", [version])
    assert metadata["inputs"][0]["shape"] == [-1, SIZE, SIZE, 3]


def test_the_version_is_that_of_the_package() -> None:
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert f'\nversion = "{SERVER_VERSION}"\n' in project


def test_an_input_as_declared_is_accepted(triton: Any) -> None:
    """Tools generate inputs from the metadata."""
    (declared,) = triton.get_model_metadata("tiny")["inputs"]
    shape = [2, *declared["shape"][1:]]
    images = InferInput(declared["name"], shape, declared["datatype"])
    images.set_data_from_numpy(np.zeros(shape, np.uint8))
    assert triton.infer("tiny", [images]).as_numpy("probabilities").shape == (2, 3)


# Answers


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("make_input", [encoded_input, decoded_input])
def test_answers_equal_those_of_predict_to_the_bit(
    triton: Any, client: httpx.Client, draw: Any, make_input: Any, binary: bool
) -> None:
    pictures = [draw(colour, kind, (90, 70)) for colour, kind in zip(COLOURS, KINDS, strict=True)]
    requested = [InferRequestedOutput(name, binary) for name in ("probabilities", "label")]
    result = triton.infer("tiny", [make_input(*pictures, binary=binary)], outputs=requested)
    assert result.as_numpy("label").tolist() == (
        [colour.encode() for colour in COLOURS] if binary else list(COLOURS)
    )
    expected = np.stack([predicted(client, picture) for picture in pictures])
    probabilities = result.as_numpy("probabilities")
    assert probabilities.dtype == np.float32
    assert probabilities.tobytes() == expected.tobytes()


KINDS = ("JPEG", "PNG", "WebP")


def test_all_outputs_are_returned_by_default(triton: Any, draw: Any, tiny_bundle: Bundle) -> None:
    result = triton.infer("tiny", [encoded_input(draw("red"), column=True)])
    assert result.as_numpy("label").tolist() == [b"red"]
    assert result.as_numpy("probabilities").shape == (1, 3)
    response = result.get_response()
    assert "id" not in response
    assert response["model_name"] == "tiny"
    assert response["model_version"] == tiny_bundle.manifest.version


def test_only_requested_outputs_are_returned(triton: Any, draw: Any) -> None:
    result = triton.infer("tiny", [encoded_input(draw())], outputs=[InferRequestedOutput("label")])
    assert [output["name"] for output in result.get_response()["outputs"]] == ["label"]


def test_the_id_is_returned(triton: Any, draw: Any, tiny_bundle: Bundle) -> None:
    version = tiny_bundle.manifest.version
    result = triton.infer(
        "tiny", [encoded_input(draw())], model_version=version, request_id="leaf 7 \u00fc"
    )
    assert result.get_response()["id"] == "leaf 7 \u00fc"


def test_requests_run_concurrently(server: Any, draw: Any) -> None:
    address = server.url.removeprefix("http://")
    with InferenceServerClient(address, concurrency=4) as client:
        requests = [
            client.async_infer("tiny", [encoded_input(draw(colour))]) for colour in COLOURS * 4
        ]
        labels = [request.get_result().as_numpy("label")[0].decode() for request in requests]
    assert labels == [*COLOURS * 4]


def test_a_request_for_a_compressed_answer_gets_a_plain_one(triton: Any, draw: Any) -> None:
    result = triton.infer("tiny", [encoded_input(draw())], response_compression_algorithm="gzip")
    assert result.as_numpy("label").tolist() == [b"red"]


def test_a_picture_of_another_shape_is_refused(tiny_bundle: Bundle) -> None:
    choice = SessionConfig(sessions=1, session_threads=1, max_batch_size=1)
    tuning = TuningResult(cores=1, curve=(), choice=choice)
    model = ServedModel(tiny_bundle, tuning, Settings(), Metrics(CollectorRegistry()))
    try:
        for picture in (np.zeros((1, SIZE, SIZE, 3), np.uint8), np.zeros((SIZE, SIZE, 3))):
            with pytest.raises(ValueError, match=r"must be \(32, 32, 3\) uint8, not "):
                asyncio.run(model.classification(picture))  # type: ignore[arg-type]
    finally:
        model.close()


def example_of_the_docs(language: str, word: str, server: Any, picture: Path) -> str:
    """An example of docs/serving.md, for this server, its model and a picture."""
    text = PAGE.read_text()
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    address = server.url.removeprefix("http://")
    for placeholder, replacement in (("localhost:3000", address), ("PICTURE.jpg", str(picture))):
        assert placeholder in block
        block = block.replace(placeholder, replacement)
    return block.replace("classifier", "tiny")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "word", "command"),
    [
        ("python", "tritonclient", [sys.executable, "-c"]),
        ("python", "SyncHTTPClient", [sys.executable, "-c"]),
        ("sh", "/v2/models", ["bash", "-c"]),
    ],
)
def test_examples_of_the_docs_work(
    server: Any, draw: Any, tmp_path: Path, language: str, word: str, command: list[str]
) -> None:
    picture = tmp_path / "leaf.png"  # noise, larger than an argument of a command may be
    noise = np.random.default_rng(0).integers(0, 60, (300, 300, 3), np.uint8) + np.array(
        (150, 0, 0)
    )
    Image.fromarray(noise.astype(np.uint8)).save(picture)
    assert picture.stat().st_size > 150_000
    example = example_of_the_docs(language, word, server, picture)
    completed = subprocess.run(
        [*command, example], capture_output=True, text=True, timeout=60, check=False
    )
    assert completed.returncode == 0, completed.stderr
    assert "red" in completed.stdout
    assert "0.9" in completed.stdout


# Refusals


@pytest.mark.parametrize(("name", "version"), [("small", ""), ("tiny", "1"), ("tiny", "x" * 999)])
def test_another_model_is_not_found(triton: Any, draw: Any, name: str, version: str) -> None:
    calls = [
        lambda: triton.get_model_metadata(name, version),
        lambda: triton.infer(name, [encoded_input(draw())], version),
    ]
    for call in calls:
        with pytest.raises(
            InferenceServerException, match=r"is not served here; use 'tiny', ver"
        ) as refused:
            call()
        assert refused.value.status() == "404"
        assert len(refused.value.message()) < 300


def test_one_bad_picture_fails_the_request_and_is_named(triton: Any, draw: Any) -> None:
    good = draw()
    bad = {
        b"text": "not a picture in a supported format",
        good[:-40]: "damaged or cut short",
        b"": "empty",
        bytes(42_000_000): "42,000,000 bytes; at most 41,943,040",
    }
    for picture, message in bad.items():
        with pytest.raises(InferenceServerException, match=rf"images\[1\].*{message}") as refused:
            triton.infer("tiny", [encoded_input(good, picture, picture[:100])])
        assert refused.value.status() == "400"


def test_an_unsuitable_request_is_refused_with_the_reason(triton: Any, draw: Any) -> None:
    wide = InferInput("images", [1, 4, 4, 3], "UINT8")
    wide.set_data_from_numpy(np.zeros((1, 4, 4, 3), np.uint8))
    floats = InferInput("images", [1, SIZE, SIZE, 3], "FP32")
    floats.set_data_from_numpy(np.full((1, SIZE, SIZE, 3), np.nan, np.float32))
    shared = InferInput("images", [1], "BYTES").set_shared_memory("mine", 4)
    too_many = encoded_input(*[draw()] * 33)
    cases = [
        ([wide], None, r"UINT8 \[1, 4, 4, 3\]; the model takes BYTES"),
        ([floats], None, r"FP32 \[1, 32, 32, 3\]; the model takes BYTES"),
        ([shared], None, "shared memory is not supported"),
        ([too_many], None, "holds 33 pictures; send at least 1 and at most 32"),
        ([encoded_input(draw()), wide], None, "has one input"),
        ([encoded_input(draw())], [InferRequestedOutput("logits")], "'logits' is unknown"),
        (
            [encoded_input(draw())],
            [InferRequestedOutput("label", class_count=2)],
            "classification and sh",
        ),
    ]
    for inputs, outputs, message in cases:
        with pytest.raises(InferenceServerException, match=message) as refused:
            triton.infer("tiny", inputs, outputs=outputs)
        assert refused.value.status() == "400"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_compressed_request_is_refused(triton: Any, draw: Any, algorithm: str) -> None:
    with pytest.raises(InferenceServerException, match=f"'{algorithm}' is not accep") as refused:
        triton.infer("tiny", [encoded_input(draw())], request_compression_algorithm=algorithm)
    assert refused.value.status() == "415"


@pytest.mark.parametrize("method", ["get_model_config", "get_inference_statistics"])
def test_tritons_own_endpoints_are_not_found(triton: Any, method: str) -> None:
    with pytest.raises(InferenceServerException, match="Not Found") as refused:
        getattr(triton, method)("tiny")
    assert refused.value.status() == "404"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"\x80\x04", {}),
        (b"[" * 10_000, {}),
        (b"{}", {}),
        (json.dumps(json_input()).encode(), {"inference-header-content-length": "12"}),
        (json.dumps(json_input()).encode(), {"inference-header-content-length": "1e9"}),
        (json.dumps(json_input()).encode(), {"inference-header-content-length": "999999"}),
        (json.dumps(json_input(data=[float("nan")])).encode(), {}),
        (json.dumps(json_input(shape=[1, SIZE, SIZE, 3], datatype="UINT8")).encode(), {}),
        (b'{"id":"\\ud800","inputs":[]}', {}),
        (b'{"id":"a","id":"b","inputs":null}', {}),
    ],
)
def test_garbage_is_a_bad_request(
    client: httpx.Client, body: bytes, headers: dict[str, str]
) -> None:
    error_text(client.post(INFER, content=body, headers=headers), 400)


def test_a_large_body_is_refused_with_the_limit(client: httpx.Client) -> None:
    assert "67,108,864" in error_text(client.post(INFER, content=bytes(70_000_000)), 413)
    assert "at most 8,388,608" in error_text(client.post(INFER, content=b" " * 9_000_000), 400)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", INFER, 405),
        ("POST", "/v2", 405),
        ("POST", "/v2/health/ready", 405),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models", 404),
        ("POST", "/v2/models/tiny/versions//infer", 404),
        ("GET", "/v2/models/%2e%2e%2ftiny", 404),
    ],
)
def test_wrong_methods_and_paths_get_the_error_format(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    error_text(client.request(method, path), status)


def test_errors_of_other_paths_keep_their_format(client: httpx.Client) -> None:
    for path in ("/v2x", "/predict/v2/"):
        assert client.get(path).json()["error"].keys() == {"code", "message"}


# Metrics, keys and limits


def test_requests_are_counted(server: Any, triton: Any, draw: Any) -> None:
    path = "/v2/models/{name}/infer"
    names = {
        f'graft_requests_total{{endpoint="{path}",status="200"}}': 1,
        f'graft_requests_total{{endpoint="{path}",status="400"}}': 1,
        f'graft_request_seconds_count{{endpoint="{path}"}}': 2,
        'graft_refusals_total{reason="undecodable_image"}': 1,
        'graft_predictions_total{label="green"}': 2,
        "graft_pictures_total": 2,
        "graft_decode_seconds_count": 2,
        "graft_queue_depth_pictures": 0,
    }
    before = server.metrics()
    triton.infer("tiny", [decoded_input(draw("green"))])
    with pytest.raises(InferenceServerException):
        triton.infer("tiny", [encoded_input(draw("green"), b"text")])
    after = server.metrics()
    assert {name: after[name] - before.get(name, 0) for name in names} == names


def test_made_up_models_leave_no_trace_in_the_metrics(server: Any, client: httpx.Client) -> None:
    client.get("/v2/models/made-up")
    client.get("/v2/models/made-up/versions/7")
    count_before = len(server.metrics())
    for number in range(20):
        client.get(f"/v2/models/made-up-{number}")
        client.get(f"/v2/models/tiny/versions/made-up-{number}")
    assert len(server.metrics()) <= count_before
    assert "made-up" not in client.get("/metrics").text


def test_the_openapi_document_has_its_paths(client: httpx.Client) -> None:
    assert "/v2/models/{name}/versions/{version}/infer" in client.get("/docs.json").json()["paths"]


def test_no_request_of_this_file_caused_an_internal_error(server: Any) -> None:
    assert not [n for n, value in server.metrics().items() if 'status="500"' in n and value]


@pytest.mark.slow
def test_keys_are_required_except_by_probes(serve: Any, draw: Any) -> None:
    with serve(GRAFT_API_KEYS="sesame") as server:
        with InferenceServerClient(server.url.removeprefix("http://")) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            with pytest.raises(InferenceServerException, match="requires an API key") as refused:
                client.infer("tiny", [encoded_input(draw())])
            assert refused.value.status() == "401"
            for headers in ({"X-API-Key": "sesame"}, {"Authorization": "Bearer sesame"}):
                result = client.infer("tiny", [encoded_input(draw())], headers=headers)
                assert result.as_numpy("label").tolist() == [b"red"]
                assert client.is_model_ready("tiny", headers=headers)
        for path in ("/v2", "/v2/models/tiny", "/v2/models/tiny/ready"):
            error_text(httpx.get(server.url + path), 401)


@pytest.mark.slow
def test_a_full_queue_refuses_pictures(serve: Any, draw: Any) -> None:
    large = encoded_input(draw("blue", "PNG", (6000, 6000)))  # takes 0.2 s and more
    with serve(GRAFT_MAX_QUEUE_SIZE="1", GRAFT_MAX_PICTURES="1") as server:
        address = server.url.removeprefix("http://")
        with InferenceServerClient(address, concurrency=6) as client:
            waiting = [client.async_infer("tiny", [large]) for _ in range(6)]
            refusals = []
            for request in waiting:
                try:
                    assert request.get_result().as_numpy("label").tolist() == [b"blue"]
                except InferenceServerException as refused:
                    refusals.append(str(refused))
            assert 1 <= len(refusals) <= 5
            assert all("[429] the queue of pictures is full" in refusal for refusal in refusals)
            assert client.infer("tiny", [large]).as_numpy("label").tolist() == [b"blue"]
        assert server.metrics()["graft_queue_depth_pictures"] == 0


@pytest.mark.slow
def test_deadline_and_draining_are_as_with_predict(serve: Any, draw: Any) -> None:
    with serve(GRAFT_DEADLINE_SECONDS="0.000001", GRAFT_DRAIN_SECONDS="3") as server:
        address = server.url.removeprefix("http://")
        with InferenceServerClient(address) as client:
            with pytest.raises(InferenceServerException, match="was not classified within") as late:
                client.infer("tiny", [encoded_input(draw())])
            assert late.value.status() == "504"
            assert server.metrics()["graft_queue_depth_pictures"] == 0
            server.process.terminate()
            for _ in range(200):
                if not client.is_server_ready():
                    break
                time.sleep(0.01)
            assert client.is_server_live()
            with pytest.raises(InferenceServerException, match="is stopping") as stopping:
                client.infer("tiny", [encoded_input(draw())])
            assert stopping.value.status() == "503"
