"""The manifests as a cluster sees them: rendered by kubectl, checked by Kubernetes' schemas."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    manifests = [yaml.safe_load((FOLDER / name).read_text()) for name in kustomization["resources"]]
    return {manifest["kind"]: manifest for manifest in manifests}


@pytest.fixture(scope="module")
def rendered() -> dict[str, Any]:
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this machine to render the kustomization with")
    command = ["kubectl", "kustomize", str(FOLDER)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(printed)}


def test_every_manifest_follows_the_schema_strictly(plain: dict[str, Any]) -> None:
    assert set(plain) == {"Deployment", "Service"}
    for manifest in plain.values():
        kubernetes_validate.validate(manifest, "1.31", strict=True)


def test_the_validator_would_notice_a_misspelling(plain: dict[str, Any]) -> None:
    broken = {**plain["Service"], "spec": {**plain["Service"]["spec"], "port": 80}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.31", strict=True)


def test_kubectl_renders_valid_manifests(rendered: dict[str, Any]) -> None:
    assert set(rendered) == {"Deployment", "Service"}
    for manifest in rendered.values():
        kubernetes_validate.validate(manifest, "1.31", strict=True)
    image = container(rendered)["image"]
    assert image == "registry.example.org/graft:0.1.0"


def container(manifests: dict[str, Any]) -> dict[str, Any]:
    (one,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(one)


def environment(manifests: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(manifests)["env"]}


def test_the_service_selects_the_pods(plain: dict[str, Any]) -> None:
    labels = plain["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert plain["Service"]["spec"]["selector"].items() <= labels.items()
    assert plain["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_probes_ask_the_services_own_endpoints_on_its_port(plain: dict[str, Any]) -> None:
    one = container(plain)
    assert one["startupProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert one["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert one["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    ports = [port for port in one["ports"] if port["name"] == "http"]
    command = (ROOT / "deploy/Dockerfile").read_text().splitlines()[-1]
    assert f'"--port", "{ports[0]["containerPort"]}"' in command
    assert plain["Service"]["spec"]["ports"][0]["targetPort"] == "http"


def test_settings_in_the_manifest_exist(plain: dict[str, Any]) -> None:
    names = environment(plain)
    assert set(names) <= {f"GRAFT_{field.upper()}" for field in Settings.model_fields}
    Settings.from_environment(names)


def test_stopping_takes_less_than_the_grace_period(plain: dict[str, Any]) -> None:
    """The pause, the draining, then at most an upload and its answer."""
    pause = int(container(plain)["lifecycle"]["preStop"]["exec"]["command"][1])
    settings = Settings.from_environment(environment(plain))
    longest = (
        pause + settings.drain_seconds + settings.upload_timeout_seconds + settings.deadline_seconds
    )
    grace = plain["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert longest < grace


def test_draining_lasts_until_the_readiness_probe_has_failed(plain: dict[str, Any]) -> None:
    probe = container(plain)["readinessProbe"]
    drain_seconds = Settings.from_environment(environment(plain)).drain_seconds
    assert drain_seconds >= probe["periodSeconds"] * probe["failureThreshold"]


def test_the_container_has_no_rights_it_does_not_need(plain: dict[str, Any]) -> None:
    rights = container(plain)["securityContext"]
    assert rights["readOnlyRootFilesystem"]
    assert not rights["allowPrivilegeEscalation"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    pod = plain["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    user = pod["securityContext"]["runAsUser"]
    assert f"USER {user}:" in (ROOT / "deploy/Dockerfile").read_text()
