"""Pods have only the rights that they need, and only the traffic that they need is open."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
Pods = Callable[[Manifest], list[tuple[str, Manifest]]]
ROOT = Path(__file__).parents[3]
USER = 65532
COMPONENTS = {"base/server", "training/settings"}
"""Components of other kustomizations, which set the namespace."""
PINNED = re.compile(r"registry\.example\.org/[a-z-]+:\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}")


@pytest.fixture
def rendered_pods(name: str, render: Render, pods: Pods) -> list[tuple[str, Manifest]]:
    return [entry for manifest in render(name) for entry in pods(manifest)]


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def test_pods_keep_to_pod_security_restricted(rendered_pods: list[tuple[str, Manifest]]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards, and a read-only root."""
    for owner, pod in rendered_pods:
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"]), owner
        rights = pod["spec"]["securityContext"]
        assert rights["runAsNonRoot"] is True, owner
        assert (rights["runAsUser"], rights["runAsGroup"]) == (USER, USER), owner
        assert rights["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, owner
            assert not [port for port in container.get("ports", ()) if "hostPort" in port], owner


def test_volumes_are_named_bounded_and_all_mounted(
    rendered_pods: list[tuple[str, Manifest]],
) -> None:
    for owner, pod in rendered_pods:
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        mounted = {
            mount["name"]
            for container in containers(pod)
            for mount in container.get("volumeMounts", ())
        }
        assert mounted == set(volumes), owner
        for volume in volumes.values():
            (kind,) = set(volume) - {"name"}
            assert kind in {"emptyDir", "persistentVolumeClaim", "configMap"}, owner
            assert kind != "emptyDir" or volume["emptyDir"]["sizeLimit"], owner


def test_no_pod_has_a_token_of_the_cluster(rendered_pods: list[tuple[str, Manifest]]) -> None:
    for owner, pod in rendered_pods:
        assert pod["spec"]["automountServiceAccountToken"] is False, owner
        assert pod["spec"]["enableServiceLinks"] is False, owner


def test_images_are_pinned_by_tag_and_digest(rendered_pods: list[tuple[str, Manifest]]) -> None:
    for owner, pod in rendered_pods:
        for container in containers(pod):
            assert PINNED.fullmatch(container["image"]), owner


def test_every_container_has_requests_and_limits(rendered_pods: list[tuple[str, Manifest]]) -> None:
    for owner, pod in rendered_pods:
        for container in containers(pod):
            for bound in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][bound]), owner


def test_the_images_run_as_the_same_user() -> None:
    for image in ("Dockerfile", "training.Dockerfile"):
        assert f"USER {USER}:{USER}\n" in (ROOT / "deploy" / image).read_text()


def test_manifests_are_in_a_namespace_that_enforces_restricted_pods(
    name: str, render: Render
) -> None:
    for manifest in render(name):
        if manifest["kind"] == "Namespace":
            labels = manifest["metadata"]["labels"]
            assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        elif name not in COMPONENTS and manifest["kind"] != "PersistentVolume":
            assert manifest["metadata"]["namespace"] == "graft", manifest["kind"]


def test_the_repository_has_no_secrets_and_no_roles(name: str, render: Render) -> None:
    kinds = {manifest["kind"] for manifest in render(name)}
    assert not {"Secret", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} & kinds


def test_deleting_a_run_keeps_its_artifacts(name: str, render: Render) -> None:
    """`kubectl delete -k` of a canary or a run must delete no namespace and no volume."""
    lasting_kinds = {
        "Namespace",
        "PersistentVolumeClaim",
        "PersistentVolume",
        "ServiceAccount",
        "Service",
    }
    kinds = {manifest["kind"] for manifest in render(name)}
    if name == "overlays/canary" or name.startswith("training/"):
        assert name in {"training/storage", "training/bucket"} or not lasting_kinds & kinds


def allowed(policy: Manifest) -> tuple[Any, ...]:
    """Summarise a policy: selected pods, sources with ports, targets with ports."""
    spec = policy["spec"]
    sources = [(rule["from"], [port["port"] for port in rule["ports"]]) for rule in spec["ingress"]]
    targets = [(rule["to"], [port["port"] for port in rule["ports"]]) for rule in spec["egress"]]
    return spec["podSelector"].get("matchLabels"), sources, targets


def policies(manifests: list[Manifest]) -> dict[str, tuple[Any, ...]]:
    matching = [manifest for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    for policy in matching:
        policy["spec"] = {"ingress": [], "egress": [], **policy["spec"]}
    return {policy["metadata"]["name"]: allowed(policy) for policy in matching}


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "keda", "kserve"])
def test_only_the_port_of_the_service_is_open_to_clients(overlay: str, render: Render) -> None:
    server = {"app.kubernetes.io/name": "graft"}
    client = {"namespaceSelector": {"matchLabels": {"graft-client": "true"}}}
    assert policies(render(f"overlays/{overlay}")) == {
        "nothing": (None, [], []),
        "askers": (server, [([client], [3000])], []),
    }


def test_the_empty_policy_covers_both_directions(
    render: Render, find: Callable[..., Manifest]
) -> None:
    policy = find(render("base"), "NetworkPolicy", "nothing")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_only_prometheus_is_admitted_besides_clients(render: Render) -> None:
    ((name, (selected, sources, targets)),) = policies(render("overlays/monitoring")).items()
    assert (name, targets) == ("prometheus", [])
    assert selected == {"app.kubernetes.io/name": "graft"}
    (((source,), ports),) = sources
    assert ports == [3000]
    assert set(source) == {"namespaceSelector", "podSelector"}, "both selectors must match"


def test_training_may_only_use_dns(render: Render) -> None:
    selected, sources, targets = policies(render("training/storage"))["training"]
    assert selected == {"app.kubernetes.io/name": "graft-training"}
    assert sources == []
    assert [ports for _, ports in targets] == [[53, 53]]
