from __future__ import annotations

import json
import re
from typing import Any

import pytest

from service.app import Classifier
from service.bundle import Manifest
from service.errors import RequestError
from service.front import routes
from service.pages import describe


@pytest.fixture(scope="module")
def docs(manifest: Manifest) -> dict[str, Any]:
    """The document as Swagger gets it."""
    document = describe(Classifier.openapi_spec.asdict(), manifest)
    return dict(json.loads(json.dumps(document)))


def test_docs_say_what_is_served(docs: dict[str, Any]) -> None:
    assert docs["info"]["title"] == "graft"
    assert docs["info"]["description"].endswith("by model `tiny`: red, green, blue")


@pytest.mark.parametrize("path", ["/predict", "/predict_batch"])
def test_docs_tell_every_refusal_in_the_one_shape(docs: dict[str, Any], path: str) -> None:
    responses = docs["paths"][path]["post"]["responses"]
    kinds = RequestError.__subclasses__()
    assert set(responses) == {"200", "500", *(str(kind.status) for kind in kinds)}
    for kind in kinds:
        assert f"`{kind.code}`: {kind.__doc__}" in responses[str(kind.status)]["description"]
    del responses["200"]
    for response in responses.values():
        schema = response["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Refusal"}


def test_docs_know_the_raw_body_of_one_picture_only(docs: dict[str, Any]) -> None:
    def bodies(path: str) -> set[str]:
        return set(docs["paths"][path]["post"]["requestBody"]["content"])

    assert bodies("/predict") == {"multipart/form-data", "image/*"}
    assert bodies("/predict_batch") == {"multipart/form-data"}


@pytest.mark.parametrize("path", ["/v2/models/{name}", "/v2/models/{name}/versions/{version}"])
def test_docs_tell_the_open_inference_protocol(docs: dict[str, Any], path: str) -> None:
    infer = docs["paths"][f"{path}/infer"]["post"]
    body = infer["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/InferenceRequest"}
    refused = infer["responses"]["404"]["content"]["application/json"]["schema"]
    assert refused == {"$ref": "#/components/schemas/InferenceError"}
    named = {parameter["name"] for parameter in infer["parameters"]}
    assert named == {"name", "version"} if "version" in path else {"name"}
    for page in (path, f"{path}/ready"):
        assert docs["paths"][page]["get"]["responses"].keys() > {"200", "404"}


def test_docs_have_every_route_of_ours(docs: dict[str, Any]) -> None:
    ours = {route.path for route in routes()} - {"/docs.json"}
    assert ours - {"/admin/reload"} <= docs["paths"].keys()


def test_docs_have_every_page(docs: dict[str, Any]) -> None:
    assert docs["paths"]["/model"]["get"]["responses"].keys() == {"200"}
    assert docs["paths"]["/metrics"]["get"]["responses"].keys() == {"200"}


def test_docs_define_what_they_refer_to(docs: dict[str, Any]) -> None:
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(docs)))
    assert "Refusal" in used
    assert used <= set(docs["components"]["schemas"])


def test_docs_speak_to_users_not_to_us(docs: dict[str, Any]) -> None:
    text = json.dumps(docs)
    for internal in ("unread", "Swagger", "BentoML Team", "TaskStatus", "InvalidArgument"):
        assert internal not in text
