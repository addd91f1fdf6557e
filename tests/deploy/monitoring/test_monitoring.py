"""What is scraped, drawn and scaled by is what the service counts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.metrics import Metrics

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
Find = Callable[..., Manifest]
KSERVE = "serving.kserve.io/inferenceservice"
FROM_PROMETHEUS = {"namespace", "pod", "job", "instance", "le", "track", "container"}
"""Labels that the scrape adds (`track`: ServiceMonitor's), and kube-state-metrics' `container`."""
WORDS = re.compile(r"\bgraft_\w+")


@pytest.fixture(scope="module")
def counted() -> dict[str, set[str]]:
    """Every series that /metrics shows, with its labels."""
    registry = CollectorRegistry()
    Metrics(registry)
    found: dict[str, set[str]] = {}
    for collector, names in registry._collector_to_names.items():
        for name in names:
            found[name] = set(collector._labelnames)  # type: ignore[attr-defined]
    return found


@pytest.fixture
def queries(render: Render, find: Find) -> list[str]:
    return [*drawn(render, find), *scaled(render, find), *alerted(render, find)]


def drawn(render: Render, find: Find) -> Iterator[str]:
    dashboard = find(render("overlays/monitoring"), "ConfigMap")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    page = json.loads(dashboard["data"]["graft.json"])
    identifiers = [panel["id"] for panel in page["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    for panel in page["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def scaled(render: Render, find: Find) -> Iterator[str]:
    for trigger in find(render("overlays/keda"), "ScaledObject")["spec"]["triggers"]:
        yield trigger["metadata"]["query"]


def alerted(render: Render, find: Find) -> Iterator[str]:
    for group in find(render("overlays/monitoring"), "PrometheusRule")["spec"]["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_every_series_asked_for_is_counted(
    queries: list[str], counted: dict[str, set[str]]
) -> None:
    assert len(queries) > 8
    for query in queries:
        assert query.count("(") == query.count(")"), query
        for name in WORDS.findall(query):
            assert name in counted, query


def test_every_label_asked_for_is_there(queries: list[str], counted: dict[str, set[str]]) -> None:
    for query in queries:
        names = WORDS.findall(query)
        known = FROM_PROMETHEUS.union(*(counted[name] for name in names))
        chosen = {part for group in re.findall(r"\{([^}]*)\}", query) for part in group.split(",")}
        asked = {re.split("[=!]", part)[0].strip() for part in chosen}
        for group in re.findall(r"\b(?:by|ignoring|on) \(([^)]*)\)", query):
            asked |= {part.strip() for part in group.split(",")}
        assert asked <= known, query


def test_pods_are_scraped_where_they_answer_and_once(
    render: Render, find: Find, paths: set[str]
) -> None:
    manifests, serving = render("overlays/monitoring"), render("overlays/cpu")
    service = find(manifests, "ServiceMonitor")["spec"]
    labels = find(serving, "Service")["metadata"]["labels"]
    assert service["selector"]["matchLabels"].items() <= labels.items()
    (other,) = service["selector"]["matchExpressions"]
    assert other == {"key": KSERVE, "operator": "DoesNotExist"}, "KServe's Services have our labels"
    (port,) = find(serving, "Service")["spec"]["ports"]
    pods = find(manifests, "PodMonitor")["spec"]
    of_kserve = find(render("overlays/kserve"), "InferenceService")
    wanted = {KSERVE: of_kserve["metadata"]["name"]}
    assert pods["selector"]["matchLabels"] == wanted, "KServe's own label, which no other pod has"
    for endpoint in (*service["endpoints"], *pods["podMetricsEndpoints"]):
        assert endpoint["port"] == port["name"] == "http"
        assert endpoint["path"] in paths
    (track,) = service["podTargetLabels"]
    assert track in find(serving, "Deployment")["spec"]["template"]["metadata"]["labels"]
