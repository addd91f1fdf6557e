from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import Classifier
from service.bundle import Manifest
from service.errors import RequestError
from service.front import routes
from service.pages import describe

ROOT = Path(__file__).parents[2]
UI = ROOT / "service/ui.html"


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
    assert docs["paths"]["/ui"]["get"]["responses"]["200"]["content"].keys() == {"text/html"}


def test_docs_define_what_they_refer_to(docs: dict[str, Any]) -> None:
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(docs)))
    assert "Refusal" in used
    assert used <= set(docs["components"]["schemas"])


def test_docs_speak_to_users_not_to_us(docs: dict[str, Any]) -> None:
    text = json.dumps(docs)
    for internal in ("unread", "Swagger", "BentoML Team", "TaskStatus", "InvalidArgument"):
        assert internal not in text


def test_the_ui_is_served_under_a_policy_that_allows_nothing_else(server: Any) -> None:
    response = httpx.get(f"{server.url}/ui")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == UI.read_text(encoding="utf-8")
    policy = dict(
        part.split(" ", 1) for part in response.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["img-src"] == "blob: data:"
    for directive in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy[directive])
    assert httpx.post(f"{server.url}/ui").status_code == 405


def test_the_ui_is_one_file_that_points_nowhere_and_makes_no_markup_of_text() -> None:
    page = UI.read_text(encoding="utf-8")
    addresses = set(re.findall(r"[a-z]+://[^\s'\"]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, in the icon
    assert not re.findall(r"@import|url\(|<script [^>]*src|<link(?! rel=\"icon\")", page)
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", page)


def test_the_package_ships_its_pages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    shipped = {
        path for pattern in project["package-data"]["service"] for path in UI.parent.glob(pattern)
    }
    assert UI in shipped
