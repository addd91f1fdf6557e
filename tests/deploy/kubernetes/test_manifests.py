"""Every kustomization renders to manifests that Kubernetes and the operators accept."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
VERSIONS = ("1.30", "1.34", "1.37")
"""The oldest version with all features in use (preStop `sleep`), a middle one, and the newest."""


def closed(required: str, optional: str = "", **schemas: Any) -> dict[str, Any]:
    """Make a schema of an object with these fields and no others."""
    names = [*required.split(), *optional.split(), *schemas]
    properties = {name: schemas.get(name, {}) for name in names}
    required_names = [*required.split(), *schemas]
    return {"type": "object", "required": required_names, "properties": properties} | {
        "additionalProperties": False
    }


def non_empty_list(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": schema}


COUNT = {"type": "integer", "minimum": 1}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
SELECTOR = closed("", "matchExpressions", matchLabels=TEXTS)  # a LabelSelector
ENDPOINT = closed("port path interval scrapeTimeout")
CUSTOM = {
    "ServiceMonitor": (
        "monitoring.coreos.com/v1",
        closed("", "podTargetLabels", selector=SELECTOR, endpoints=non_empty_list(ENDPOINT)),
    ),
    "PodMonitor": (
        "monitoring.coreos.com/v1",
        closed("", selector=SELECTOR, podMetricsEndpoints=non_empty_list(ENDPOINT)),
    ),
    "PrometheusRule": (
        "monitoring.coreos.com/v1",
        closed(
            "",
            groups={
                "type": "array",
                "items": closed(
                    "name",
                    "interval",
                    rules=non_empty_list(
                        {
                            "type": "object",
                            "required": ["expr"],
                            "oneOf": [{"required": ["alert"]}, {"required": ["record"]}],
                        }
                    ),
                ),
            },
        ),
    ),
    "ScaledObject": (
        "keda.sh/v1alpha1",
        closed(
            "",
            "pollingInterval advanced",
            scaleTargetRef=closed("name"),
            minReplicaCount=COUNT,
            maxReplicaCount=COUNT,
            fallback=closed("", failureThreshold=COUNT, replicas=COUNT),
            triggers=non_empty_list(closed("type metricType", metadata=TEXTS)),
        ),
    ),
    "InferenceService": (
        "serving.kserve.io/v1beta1",
        closed(
            "",
            predictor={
                "type": "object",
                "required": ["minReplicas", "maxReplicas", "containers"],
                "properties": {
                    "scaleMetric": {"enum": ["cpu"]},
                    "containers": {
                        "minItems": 1,
                        "items": {"properties": {"name": {"const": "kserve-container"}}},
                    },
                },
            },
        ),
    ),
}
"""API version and schema of each kind of the operators, from their documentation."""


@functools.cache
def validate(text: str, version: str) -> None:
    """Validate a manifest; overlays share most of them, so each is validated once."""
    kubernetes_validate.validate(json.loads(text), version, strict=True)


def check(manifest: Manifest, version: str) -> None:
    kind = manifest["kind"]
    if kind not in CUSTOM:
        validate(json.dumps(manifest), version)
        return
    api_version, spec = CUSTOM[kind]
    assert manifest["apiVersion"] == api_version
    jsonschema.validate(manifest["spec"], spec)


@pytest.mark.parametrize("version", VERSIONS)
def test_rendered_manifests_follow_the_schemas(
    name: str, version: str, render: Render, pods: Callable[[Manifest], list[tuple[str, Manifest]]]
) -> None:
    manifests = render(name)
    assert manifests
    for manifest in manifests:
        check(manifest, version)
    for _, pod in (entry for manifest in manifests for entry in pods(manifest)):
        header = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}}
        validate(json.dumps({**header, "spec": pod["spec"]}), version)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Service", ("port",)),
        ("Deployment", ("template", "spec", "containr")),
        ("ScaledObject", ("maxReplicas",)),
        ("InferenceService", ("predictors",)),
        ("ServiceMonitor", ("endpoint",)),
    ],
)
def test_a_misspelt_field_is_noticed(kind: str, path: tuple[str, ...], render: Render) -> None:
    names = ["cpu", "keda", "kserve", "monitoring"]
    manifests = [manifest for name in names for manifest in render(f"overlays/{name}")]
    manifest = next(manifest for manifest in manifests if manifest["kind"] == kind)
    check(manifest, "1.34")
    node = manifest["spec"]
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = 80
    with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError)):
        check(manifest, "1.34")
