"""The answers of the running service, with a tiny model."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bentoml
import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from service.bundle import summary
from service.bundle.reading import Bundle
from service.metrics import Metrics


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def images(*pictures: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("images", ("leaf.jpg", picture, "image/jpeg")) for picture in pictures]


# One picture


def test_an_answer_has_label_score_ranking_and_model(
    client: httpx.Client, draw: Any, tiny_bundle: Bundle
) -> None:
    response = client.post("/predict", files={"image": draw("green", "PNG")})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    powers = np.exp(np.array([0, 255, 0]) * 0.02)
    assert answer["label"] == "green"
    assert answer["score"] == pytest.approx(powers[1] / powers.sum(), abs=1e-5)
    assert [entry["label"] for entry in answer["top"]] == ["green", "red", "blue"]
    assert answer["top"][0] == {"label": "green", "score": answer["score"]}
    assert answer["model"] == {"name": "tiny", "version": tiny_bundle.manifest.version}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
@pytest.mark.parametrize("colour", ["red", "green", "blue"])
def test_a_form_and_a_raw_body_get_the_same_answer(
    client: httpx.Client, draw: Any, kind: str, colour: str
) -> None:
    picture = draw(colour, kind)
    headers = {"content-type": f"image/{kind.lower()}"}
    by_form = client.post("/predict", files={"image": ("leaf", picture)})
    by_body = client.post("/predict", content=picture, headers=headers)
    assert by_form.status_code == by_body.status_code == 200
    assert by_form.json() == by_body.json()
    assert by_form.json()["label"] == colour


def test_file_name_and_declared_type_do_not_matter(client: httpx.Client, draw: Any) -> None:
    """A PNG called .jpg and declared GIF is still a PNG."""
    files = {"image": ("leaf.jpg", draw("blue", "PNG"), "image/gif")}
    assert client.post("/predict", files=files).json()["label"] == "blue"


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
def test_bentomls_client_sends_files_and_receives_errors(
    server: Any, draw: Any, tmp_path: Path
) -> None:
    (tmp_path / "leaf.jpg").write_bytes(draw("blue"))
    with bentoml.SyncHTTPClient(server.url, timeout=60) as client:
        answer = client.predict(image=tmp_path / "leaf.jpg")
        (tmp_path / "text.jpg").write_text("no picture")
        batch = client.predict_batch(images=[tmp_path / "leaf.jpg", tmp_path / "text.jpg"])
    assert answer["label"] == "blue"
    blue, text = batch["results"]
    assert blue["label"] == "blue"
    assert text["error"]["code"] == "unsupported_media_type"
    del client  # it leaves its temporary folder to the garbage collector
    gc.collect()


# Several pictures


def test_a_batch_keeps_its_order_and_bad_pictures_fail_alone(
    client: httpx.Client, draw: Any, tiny_bundle: Bundle
) -> None:
    pictures = [draw("red"), b"text", draw("blue"), draw("red")[:-40], draw("green"), b""]
    response = client.post("/predict_batch", files=images(*pictures))
    assert response.status_code == 200
    results = response.json()["results"]
    assert [
        result["label"] if "label" in result else result["error"]["code"] for result in results
    ] == [
        "red",
        "unsupported_media_type",
        "blue",
        "undecodable_image",
        "green",
        "undecodable_image",
    ]
    assert all(set(result["error"]) == {"code", "message"} for result in results[1::2])
    assert response.json()["model"]["version"] == tiny_bundle.manifest.version


def test_a_batch_gets_the_answers_of_single_requests(client: httpx.Client, draw: Any) -> None:
    pictures = [draw(colour, "PNG") for colour in ("blue", "red", "green")]
    single = [client.post("/predict", files={"image": picture}).json() for picture in pictures]
    results = client.post("/predict_batch", files=images(*pictures)).json()["results"]
    for result, answer in zip(results, single, strict=True):
        assert result["label"] == answer["label"]
        assert result["score"] == pytest.approx(answer["score"], abs=1e-6)
        assert "model" not in result


def test_a_batch_may_be_one_picture(client: httpx.Client, draw: Any) -> None:
    assert len(client.post("/predict_batch", files=images(draw())).json()["results"]) == 1


def test_a_bad_picture_among_concurrent_requests_fails_alone(
    client: httpx.Client, draw: Any
) -> None:
    colours = ["red", "green", "blue", "red", "green", "blue", "red"]
    pictures = [draw(colour) for colour in colours]
    pictures.insert(3, draw("red", size=(300, 200))[:-60])
    with ThreadPoolExecutor(8) as threads:
        responses = list(
            threads.map(lambda picture: client.post("/predict", files={"image": picture}), pictures)
        )
    bad = responses.pop(3)
    assert bad.status_code == 400
    assert bad.json()["error"]["code"] == "undecodable_image"
    assert [response.json()["label"] for response in responses] == colours


# Pages


def test_an_answer_is_explained(server: Any, client: httpx.Client, draw: Any) -> None:
    answer = client.post("/predict", files={"image": draw("blue")}).json()
    response = client.post("/explain", files={"image": draw("blue")})
    explanation = response.json()
    assert (explanation["label"], explanation["model"]) == ("blue", answer["model"])
    assert explanation["score"] == answer["score"]
    assert max(map(max, explanation["heat_map"])) == 1
    picture = client.post("/explain?label=red&format=png", files={"image": draw("blue")})
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert picture.content.startswith(b"\x89PNG")
    unknown = client.post("/explain?label=blau", files={"image": draw("blue")})
    assert unknown.status_code == 400
    assert "did you mean `blue`" in unknown.json()["error"]["message"]
    sample = 'graft_requests_total{endpoint="/explain",status="200"}'
    assert server.metrics()[sample] >= 2


def test_model_shows_the_public_manifest(client: httpx.Client, tiny_bundle: Bundle) -> None:
    response = client.get("/model")
    assert response.status_code == 200
    manifest = response.json()
    tuning, runtime = manifest.pop("tuning"), manifest.pop("runtime")
    assert runtime["provider"] == "CPUExecutionProvider"
    assert (runtime["workers"], runtime["threads"]) == (1, tuning["cores"])
    assert manifest.pop("limits").keys() == {"pictures", "picture_bytes", "request_bytes"}
    assert (manifest.pop("report"), manifest.pop("samples")) == (False, 3)
    assert manifest == summary.public_manifest(tiny_bundle.manifest)
    assert "provenance" not in manifest
    assert tuning["choice"].keys() == {"sessions", "session_threads", "max_batch_size"}
    configurations = [(config["sessions"], config["session_threads"]) for config in tuning["curve"]]
    assert {sessions * threads for sessions, threads in configurations} == {tuning["cores"]}


@pytest.mark.parametrize(
    ("cores", "workers", "setting", "threads"),
    [(8, 1, 0, 8), (8, 2, 0, 4), (5, 2, 0, 2), (2, 4, 0, 1), (2, 2, 3, 3)],
)
def test_the_cores_are_divided_among_the_workers(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, setting: int, threads: int
) -> None:
    """Unless GRAFT_THREADS sets the threads of each worker."""
    from service import app

    monkeypatch.setenv("GRAFT_THREADS", str(setting))
    monkeypatch.setattr(app, "usable_cores", lambda: cores)
    monkeypatch.setattr(app, "worker_count", lambda: workers)
    assert app._settings().usable_threads() == threads


def test_root_is_the_swagger_page(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert "swagger-ui" in response.text


@pytest.mark.parametrize(
    ("path", "field", "schema"),
    [
        ("/predict", "image", {"type": "string", "format": "binary"}),
        ("/predict_batch", "images", {"type": "array"}),
    ],
)
def test_the_openapi_document_describes_both_endpoints(
    client: httpx.Client, path: str, field: str, schema: dict[str, str]
) -> None:
    document = client.get("/docs.json").json()
    docs = document["paths"][path]["post"]
    upload = docs["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert upload["required"] == [field]
    assert schema.items() <= upload["properties"][field].items()
    reference = docs["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    answer = document["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
    fields = {"label", "score", "known", "novelty", "top", "set", "labels", "model"}
    expected = fields if field == "image" else {"results", "model"}
    assert set(answer) == expected


def test_the_openapi_document_has_our_paths_and_the_model_version(
    client: httpx.Client, tiny_bundle: Bundle
) -> None:
    docs = client.get("/docs.json").json()
    assert docs["info"]["version"] == tiny_bundle.manifest.version
    assert docs["paths"].keys() >= {"/predict", "/predict_batch", "/model", "/metrics"}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes_answer_200(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200


# Metrics


def test_metrics_show_every_metric_with_its_help(client: httpx.Client, draw: Any) -> None:
    client.post("/predict_batch", files=images(draw(), b"text"))
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    registry = CollectorRegistry()
    Metrics(registry)
    for family in registry.collect():
        if family.name.startswith("graft_shadow"):  # only with GRAFT_SHADOW
            continue
        name = family.name + ("_total" if family.type == "counter" else "")
        assert f"# HELP {name} {family.documentation}\n" in response.text
        assert f"# TYPE {name} {family.type}\n" in response.text
        assert f"\n{name}" in response.text


def test_metrics_count_requests_and_pictures(server: Any, client: httpx.Client, draw: Any) -> None:
    names = {
        'graft_requests_total{endpoint="/predict",status="200"}': 1,
        'graft_requests_total{endpoint="/predict",status="400"}': 1,
        'graft_requests_total{endpoint="/predict_batch",status="200"}': 1,
        'graft_request_seconds_count{endpoint="/predict"}': 2,
        'graft_refusals_total{reason="undecodable_image"}': 1,
        'graft_refusals_total{reason="unsupported_media_type"}': 1,
        'graft_predictions_total{label="green"}': 2,
        'graft_predictions_total{label="blue"}': 1,
        "graft_pictures_total": 3,
        "graft_decode_seconds_count": 5,
        "graft_batch_size_pictures_sum": 3,
        "graft_queue_depth_pictures": 0,
    }
    before = server.metrics()
    client.post("/predict", files={"image": draw("green")})
    client.post("/predict", files={"image": draw("green")[:-40]})
    client.post("/predict_batch", files=images(draw("green"), b"text", draw("blue")))
    after = server.metrics()
    assert {name: after[name] - before.get(name, 0) for name in names} == names
    calls = "graft_inference_seconds_count"
    assert 2 <= after[calls] - before[calls] <= 3


def test_model_info_names_the_model(server: Any, tiny_bundle: Bundle) -> None:
    labels = f'name="tiny",plugin="colour:mean",version="{tiny_bundle.manifest.version}"'
    assert server.metrics()[f"graft_model_info{{{labels}}}"] == 1


def test_unknown_paths_add_nothing_to_the_metrics(server: Any, client: httpx.Client) -> None:
    count_before = len(server.metrics())
    for number in range(50):
        client.get(f"/made-up-{number}")
    assert len(server.metrics()) <= count_before + 5
    assert "made-up" not in client.get("/metrics").text


def test_bentoml_has_the_hooks_that_the_service_overrides() -> None:
    assert "service_class" in inspect.signature(bentoml.service).parameters
    assert list(inspect.signature(bentoml.Service.to_asgi).parameters) == ["self", "is_main"]
    assert isinstance(inspect.getattr_static(bentoml.Service, "openapi_spec"), property)
    from_request = inspect.signature(bentoml.IODescriptor.from_http_request)
    assert list(from_request.parameters) == ["request", "serde"]
