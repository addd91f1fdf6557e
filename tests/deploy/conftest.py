"""Fixtures for tests of the manifests: every kustomization, rendered by kubectl, and its pods."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.asgi import routes
from tests.service.conftest import serve  # noqa: F401 - a fixture here, too

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
NAMES = sorted(
    path.parent.relative_to(KUBERNETES).as_posix()
    for path in KUBERNETES.rglob("kustomization.yaml")
    if "kind: Kustomization" in path.read_text()
)

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
Find = Callable[..., Manifest]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests with a parameter `name` for every kustomization."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", NAMES)


def renderer() -> list[str]:
    """Return the command that renders a folder, `kubectl kustomize` or `kustomize build`."""
    for command in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if shutil.which(command[0]):
            return command
    reason = "install kubectl (1.30 or newer) or kustomize (5 or newer) to render manifests"
    return pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def build(folder: Path) -> str:
    command = [*renderer(), str(folder)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    assert not completed.stderr, "kustomize printed a warning"
    return completed.stdout


@functools.cache
def built(name: str) -> str:
    return build(KUBERNETES / name)


@pytest.fixture(scope="session")
def kustomize() -> Callable[[Path], list[Manifest]]:
    """Render any folder: kustomize(path) -> its manifests."""
    return lambda folder: list(yaml.safe_load_all(build(folder)))


@pytest.fixture(scope="session")
def render() -> Render:
    """Render a kustomization: render("overlays/cpu") -> its manifests."""
    return lambda name: list(yaml.safe_load_all(built(name)))


def pod_templates(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield every pod of a manifest, as (kind and name of the manifest, {"metadata", "spec"})."""
    kind, spec = manifest["kind"], manifest.get("spec", {})
    owner = f"{kind} {manifest['metadata']['name']}"
    match kind:
        case "Pod":
            yield owner, manifest
        case "Deployment" | "Job":
            yield owner, spec["template"]
        case "CronJob":
            yield owner, spec["jobTemplate"]["spec"]["template"]
        case "InferenceService":
            scaling_fields = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
            predictor = spec["predictor"]
            pod = {key: value for key, value in predictor.items() if key not in scaling_fields}
            yield owner, {"metadata": {"labels": manifest["metadata"]["labels"]}, "spec": pod}


@pytest.fixture(scope="session")
def pods() -> Callable[[Manifest], list[tuple[str, Manifest]]]:
    """The pods of a manifest: pods(deployment) -> [("Deployment graft", {"metadata", "spec"})]."""
    return lambda manifest: list(pod_templates(manifest))


@pytest.fixture(scope="session")
def find() -> Find:
    """Find the only manifest of a kind: find(manifests, "NetworkPolicy", "askers")."""

    def find(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
        matching = [
            manifest
            for manifest in manifests
            if manifest["kind"] == kind and name in (None, manifest["metadata"]["name"])
        ]
        assert len(matching) == 1, (kind, [manifest["metadata"]["name"] for manifest in matching])
        return matching[0]

    return find


@pytest.fixture(scope="session")
def environment(find: Find) -> Callable[[list[Manifest], Manifest], dict[str, str]]:
    """Return the plain values of a container's environment, including its ConfigMaps."""

    def environment(manifests: list[Manifest], container: Manifest) -> dict[str, str]:
        values: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            values |= find(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
        values |= {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
        return values

    return environment


@pytest.fixture(scope="session")
def paths() -> set[str]:
    """Return the paths of the service: its own routes and BentoML's probes."""
    return {route.path for route in routes()} | {"/livez", "/readyz"}
