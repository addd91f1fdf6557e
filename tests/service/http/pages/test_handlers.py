from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request

from service.errors import Disabled
from service.http.pages.handlers import show_model, show_report, show_sample
from service.http.pages.ui_page import build_page, build_policy
from service.state import ServiceState

ROOT = Path(__file__).parents[4]
UI = ROOT / "service/http/pages/ui"


def test_model_shows_the_public_manifest_and_its_tuning(server: Any) -> None:
    model = httpx.get(f"{server.url}/model").json()
    assert model["classes"] == ["red", "green", "blue"]
    assert model["tuning"]["choice"]["sessions"] >= 1
    assert not {"provenance", "files"} & set(model)
    assert next(iter(model.items())) == ("data", {"source": "unknown", "pictures": None})


def test_the_model_shows_its_limits_and_what_can_be_seen(server: Any) -> None:
    model = httpx.get(f"{server.url}/model").json()
    limits = {"pictures": 32, "picture_bytes": 41_943_040, "request_bytes": 67_108_864}
    assert model["limits"] == limits
    assert (model["report"], model["samples"], model["warnings"]) == (False, 3, [])


def test_metrics_can_be_parsed_by_prometheus(server: Any) -> None:
    text = httpx.get(f"{server.url}/metrics").text
    assert "graft_requests" in {family.name for family in text_string_to_metric_families(text)}


def test_the_ui_is_served_with_a_strict_security_policy(server: Any) -> None:
    response = httpx.get(f"{server.url}/ui")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == build_page()
    assert response.headers["content-security-policy"] == build_policy(None)
    assert httpx.post(f"{server.url}/ui").status_code == 405


def test_samples_are_small_jpegs(server: Any) -> None:
    for number, colour in enumerate(("red", "green", "blue")):
        response = httpx.get(f"{server.url}/samples/{number}")
        assert response.headers["content-type"] == "image/jpeg"
        answer = httpx.post(f"{server.url}/predict", files={"image": response.content}).json()
        assert answer["label"] == colour


@pytest.mark.parametrize("number", ["3", "-1", "00", "a", "1.0", "١"])
def test_other_samples_are_not_found(server: Any, number: str) -> None:
    response = httpx.get(f"{server.url}/samples/{number}")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    assert "this model has 3, numbered from 0" in response.json()["error"]["message"]


def test_a_model_without_a_report_says_so(server: Any) -> None:
    response = httpx.get(f"{server.url}/report")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_the_report_may_not_run_scripts(state: ServiceState) -> None:
    state.model.report = b"<h1>Report</h1>"
    response = asyncio.run(show_report(state, Request({"type": "http"})))
    assert response.body == b"<h1>Report</h1>"
    policy = response.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "style-src 'unsafe-inline'", "sandbox"} < {*policy}
    assert not [part for part in policy if part.startswith("script-src")]


def test_pictures_can_be_kept_private(make_state: Any) -> None:
    state = make_state(show_pictures=False)
    for handler in (show_report, show_sample):
        request = Request({"type": "http", "path_params": {"number": "0"}})
        with pytest.raises(Disabled, match="GRAFT_SHOW_PICTURES is false"):
            asyncio.run(handler(state, request))
    model = json.loads(asyncio.run(show_model(state, Request({"type": "http"}))).body)
    assert (model["report"], model["samples"]) == (False, 0)


def test_the_package_contains_its_pages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = project["package-data"]["*"]
    shipped = {path for pattern in patterns for path in UI.parent.glob(pattern)}
    assert {*UI.iterdir()} <= shipped
    bento = yaml.safe_load((ROOT / "bentofile.yaml").read_text())["include"]
    assert {*UI.iterdir()} <= {path for pattern in bento for path in ROOT.glob(pattern)}


def test_the_document_describes_the_served_model(server: Any) -> None:
    document = httpx.get(f"{server.url}/docs.json").json()
    model = httpx.get(f"{server.url}/model").json()
    assert document["info"]["version"] == model["version"]
    assert document["components"]["schemas"]["Model"]["required"] == sorted(model)
