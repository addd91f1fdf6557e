from __future__ import annotations

from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families


def test_model_shows_the_public_part_and_how_it_is_run(server: Any) -> None:
    shown = httpx.get(f"{server.url}/model").json()
    assert shown["classes"] == ["red", "green", "blue"]
    assert shown["tuning"]["choice"]["sessions"] >= 1
    assert not {"provenance", "files"} & set(shown)


def test_metrics_are_what_prometheus_reads(server: Any) -> None:
    text = httpx.get(f"{server.url}/metrics").text
    assert "graft_requests" in {family.name for family in text_string_to_metric_families(text)}


def test_docs_are_those_of_the_model(server: Any) -> None:
    document = httpx.get(f"{server.url}/docs.json").json()
    version = httpx.get(f"{server.url}/model").json()["version"]
    assert document["info"]["version"] == version
