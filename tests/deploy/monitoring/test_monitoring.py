"""Monitors, dashboard, autoscaler and alerts use series that the service has."""

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
"""Labels that the scrape adds (`track` by the ServiceMonitor), and `container` of
kube-state-metrics."""
WORDS = re.compile(r"\bgraft_\w+")


@pytest.fixture(scope="module")
def series() -> dict[str, set[str]]:
    """Every series of /metrics, with its labels."""
    registry = CollectorRegistry()
    Metrics(registry)
    labels: dict[str, set[str]] = {}
    for collector, names in registry._collector_to_names.items():
        for name in names:
            labels[name] = set(collector._labelnames)  # type: ignore[attr-defined]
    return labels


@pytest.fixture
def queries(render: Render, find: Find) -> list[str]:
    return [
        *dashboard_queries(render, find),
        *autoscaler_queries(render, find),
        *alert_queries(render, find),
    ]


def dashboard_queries(render: Render, find: Find) -> Iterator[str]:
    dashboard = find(render("overlays/monitoring"), "ConfigMap")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    page = json.loads(dashboard["data"]["graft.json"])
    identifiers = [panel["id"] for panel in page["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    for panel in page["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def autoscaler_queries(render: Render, find: Find) -> Iterator[str]:
    for trigger in find(render("overlays/keda"), "ScaledObject")["spec"]["triggers"]:
        yield trigger["metadata"]["query"]


def alert_queries(render: Render, find: Find) -> Iterator[str]:
    for group in find(render("overlays/monitoring"), "PrometheusRule")["spec"]["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_every_series_in_a_query_exists(queries: list[str], series: dict[str, set[str]]) -> None:
    assert len(queries) > 8
    for query in queries:
        assert query.count("(") == query.count(")"), query
        for name in WORDS.findall(query):
            assert name in series, query


def test_every_label_in_a_query_exists(queries: list[str], series: dict[str, set[str]]) -> None:
    for query in queries:
        names = WORDS.findall(query)
        available = FROM_PROMETHEUS.union(*(series[name] for name in names))
        chosen = {part for group in re.findall(r"\{([^}]*)\}", query) for part in group.split(",")}
        labels = {re.split("[=!]", part)[0].strip() for part in chosen}
        for group in re.findall(r"\b(?:by|ignoring|on) \(([^)]*)\)", query):
            labels |= {part.strip() for part in group.split(",")}
        assert labels <= available, query


def test_each_pod_is_scraped_once_on_its_http_port(
    render: Render, find: Find, paths: set[str]
) -> None:
    manifests, serving = render("overlays/monitoring"), render("overlays/cpu")
    service = find(manifests, "ServiceMonitor")["spec"]
    labels = find(serving, "Service")["metadata"]["labels"]
    assert service["selector"]["matchLabels"].items() <= labels.items()
    (exclusion,) = service["selector"]["matchExpressions"]
    assert exclusion == {"key": KSERVE, "operator": "DoesNotExist"}, (
        "KServe's Services have our labels"
    )
    (port,) = find(serving, "Service")["spec"]["ports"]
    pods = find(manifests, "PodMonitor")["spec"]
    inference_service = find(render("overlays/kserve"), "InferenceService")
    expected = {KSERVE: inference_service["metadata"]["name"]}
    assert pods["selector"]["matchLabels"] == expected, "KServe's own label, which no other pod has"
    for endpoint in (*service["endpoints"], *pods["podMetricsEndpoints"]):
        assert endpoint["port"] == port["name"] == "http"
        assert endpoint["path"] in paths
    (track,) = service["podTargetLabels"]
    assert track in find(serving, "Deployment")["spec"]["template"]["metadata"]["labels"]
