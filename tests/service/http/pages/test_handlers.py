from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[4]
UI = ROOT / "service/http/pages/ui.html"


def test_model_shows_the_public_manifest_and_its_tuning(server: Any) -> None:
    model = httpx.get(f"{server.url}/model").json()
    assert model["classes"] == ["red", "green", "blue"]
    assert model["tuning"]["choice"]["sessions"] >= 1
    assert not {"provenance", "files"} & set(model)
    assert next(iter(model.items())) == ("data", {"source": "unknown", "pictures": None})


def test_metrics_can_be_parsed_by_prometheus(server: Any) -> None:
    text = httpx.get(f"{server.url}/metrics").text
    assert "graft_requests" in {family.name for family in text_string_to_metric_families(text)}


def test_the_ui_is_served_with_a_strict_security_policy(server: Any) -> None:
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


def test_the_ui_loads_nothing_and_inserts_no_html() -> None:
    page = UI.read_text(encoding="utf-8")
    urls = set(re.findall(r"[a-z]+://[^\s'\"]+", page))
    assert urls == {"http://www.w3.org/2000/svg"}  # an XML namespace, in the icon
    assert not re.findall(r"@import|url\(|<script [^>]*src|<link(?! rel=\"icon\")", page)
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", page)


def test_the_package_contains_its_pages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    shipped = {path for pattern in project["package-data"]["*"] for path in UI.parent.glob(pattern)}
    assert UI in shipped


def test_the_document_describes_the_served_model(server: Any) -> None:
    document = httpx.get(f"{server.url}/docs.json").json()
    model = httpx.get(f"{server.url}/model").json()
    assert document["info"]["version"] == model["version"]
    assert document["components"]["schemas"]["Model"]["required"] == sorted(model)
