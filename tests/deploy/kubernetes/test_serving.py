"""The manifests of the service agree with its code: probes, ports, settings, stopping."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.server.transport import SEND_TIMEOUT_SECONDS
from service.settings import Settings

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
Find = Callable[..., Manifest]
Pods = Callable[[Manifest], list[tuple[str, Manifest]]]
ROOT = Path(__file__).parents[3]
NO_SETTINGS = {"HOME", "PROTOCOL", "GRAFT_CACHE"}
"""Environment variables that are not a field of `Settings`."""
SERVING = ["overlays/cpu", "overlays/gpu", "overlays/keda", "overlays/canary", "overlays/kserve"]


@pytest.fixture(params=SERVING)
def served(
    request: pytest.FixtureRequest, render: Render, pods: Pods, environment: Callable[..., Any]
) -> tuple[Manifest, dict[str, str]]:
    """The pod of a serving overlay, and its environment."""
    manifests = render(request.param)
    ((_, pod),) = [entry for manifest in manifests for entry in pods(manifest)]
    return pod, environment(manifests, pod["spec"]["containers"][0])


@pytest.fixture
def deployment(render: Render, find: Find) -> Manifest:
    return find(render("overlays/cpu"), "Deployment")


def parse_settings(settings: dict[str, str]) -> Settings:
    return Settings.from_environment(settings)


def test_probes_use_paths_of_the_service(
    served: tuple[Manifest, dict[str, str]], paths: set[str]
) -> None:
    (container,) = served[0]["spec"]["containers"]
    probes = [
        container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")
    ]
    assert {probe["port"] for probe in probes} == {"http"}
    live, ready = probes[1]["path"], probes[0]["path"]
    assert probes[2]["path"] == ready != live
    assert live.rpartition("/")[2] in {"livez", "live"}
    assert {live, ready} <= paths


def test_the_port_is_that_of_the_image(served: tuple[Manifest, dict[str, str]]) -> None:
    (port,) = served[0]["spec"]["containers"][0]["ports"]
    assert port["name"] == "http"
    text = (ROOT / "deploy/Dockerfile").read_text()
    (command,) = re.findall(r"^CMD .*$", text, re.MULTILINE)
    assert f'"--port", "{port["containerPort"]}"' in command
    assert len(port["name"]) <= 15


def test_settings_exist_and_are_valid(served: tuple[Manifest, dict[str, str]]) -> None:
    _, settings = served
    assert set(settings) - NO_SETTINGS <= {
        f"GRAFT_{name.upper()}" for name in Settings.model_fields
    }
    parse_settings(settings)


def test_required_folders_are_writable(served: tuple[Manifest, dict[str, str]]) -> None:
    pod, settings = served
    (container,) = pod["spec"]["containers"]
    volume_mounts = container["volumeMounts"]
    mounts = {mount["mountPath"] for mount in volume_mounts if not mount.get("readOnly")}
    assert mounts == {"/tmp", "/cache"}
    assert {settings["GRAFT_CACHE"], settings["HOME"]} <= mounts
    assert "BENTOML_HOME=/tmp/bentoml" in (ROOT / "deploy/Dockerfile").read_text()


def test_keys_come_from_an_optional_secret(
    served: tuple[Manifest, dict[str, str]],
) -> None:
    (container,) = served[0]["spec"]["containers"]
    (keys,) = (entry for entry in container["env"] if entry["name"] == "GRAFT_API_KEYS")
    assert keys["valueFrom"]["secretKeyRef"]["optional"] is True
    assert keys["valueFrom"]["secretKeyRef"]["key"] == "GRAFT_API_KEYS"


def test_the_key_of_signed_bundles_comes_from_an_optional_configmap(
    served: tuple[Manifest, dict[str, str]],
) -> None:
    """It is mounted read-only where the commented line of settings.env looks for it."""
    pod, settings = served
    assert "GRAFT_VERIFY_KEY" not in settings
    text = (ROOT / "deploy/kubernetes/base/server/settings.env").read_text()
    (path,) = re.findall(r"^# GRAFT_VERIFY_KEY=(\S+)$", text, re.MULTILINE)
    folder, _, name = path.rpartition("/")
    (container,) = pod["spec"]["containers"]
    (mount,) = (mount for mount in container["volumeMounts"] if mount["mountPath"] == folder)
    assert mount["readOnly"] is True
    (volume,) = (volume for volume in pod["spec"]["volumes"] if volume["name"] == mount["name"])
    assert volume["configMap"]["optional"] is True
    readme = " ".join((ROOT / "deploy/README.md").read_text().split())
    create = f"create configmap {volume['configMap']['name']} --from-file={name}"
    assert create in readme, (
        "the name of the file becomes the key, and so the name of the mounted file"
    )


def test_stopping_takes_less_than_the_grace_period(
    served: tuple[Manifest, dict[str, str]],
) -> None:
    """Stopping consists of the pause, draining, the last upload, its answer, and sending it."""
    pod, variables = served
    settings = parse_settings(variables)
    pause = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    waits = settings.drain_seconds, settings.upload_timeout_seconds, settings.deadline_seconds
    assert pause + sum(waits) + SEND_TIMEOUT_SECONDS < pod["spec"]["terminationGracePeriodSeconds"]


def test_draining_lasts_until_the_readiness_probe_has_failed(
    served: tuple[Manifest, dict[str, str]],
) -> None:
    probe = served[0]["spec"]["containers"][0]["readinessProbe"]
    drain_seconds = parse_settings(served[1]).drain_seconds
    assert drain_seconds >= probe["periodSeconds"] * probe["failureThreshold"]


def test_processors_are_whole_and_requested(served: tuple[Manifest, dict[str, str]]) -> None:
    """The service takes its number of threads from the limit, and times the model on them."""
    resources = served[0]["spec"]["containers"][0]["resources"]
    assert resources["limits"]["cpu"] == resources["requests"]["cpu"]
    assert resources["limits"]["cpu"].isdigit()


def test_a_rollout_keeps_capacity_and_can_be_undone(deployment: Manifest) -> None:
    spec = deployment["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert spec["revisionHistoryLimit"] > 1, "a rollback needs an earlier revision"
    assert "replicas" not in spec, "each apply would overwrite the number of the autoscaler"
    probe = spec["template"]["spec"]["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < spec["progressDeadlineSeconds"]


def test_services_budgets_and_spreading_select_the_pods(render: Render, find: Find) -> None:
    manifests = render("overlays/cpu")
    deployment = find(manifests, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    service = find(manifests, "Service")["spec"]
    assert service["selector"].items() <= labels.items()
    assert service["ports"][0]["targetPort"] == "http"
    budget = find(manifests, "PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    scaler = find(manifests, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaler["minReplicas"] > budget["maxUnavailable"]
    pod = deployment["spec"]["template"]["spec"]
    for spread in pod["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
    account = find(manifests, "ServiceAccount")
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert account["automountServiceAccountToken"] is False


def test_a_changed_setting_starts_a_rollout_that_can_be_undone(deployment: Manifest) -> None:
    """The generated name contains a hash, so an old ReplicaSet still finds its settings."""
    (source,) = deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    prefix, _, digest = source["configMapRef"]["name"].rpartition("-")
    assert prefix == "graft-settings"
    assert len(digest) == 10


def test_a_canary_shares_the_service_and_counts_its_own_pods(render: Render, find: Find) -> None:
    stable, canary = render("overlays/cpu"), render("overlays/canary")
    assert sorted(manifest["kind"] for manifest in canary) == ["ConfigMap", "Deployment"]
    stable_deployment, canary_deployment = find(stable, "Deployment"), find(canary, "Deployment")
    assert canary_deployment["metadata"]["name"] != stable_deployment["metadata"]["name"]
    assert canary_deployment["spec"]["replicas"] == 1
    labels = canary_deployment["spec"]["template"]["metadata"]["labels"]
    assert find(stable, "Service")["spec"]["selector"].items() <= labels.items()
    stable_selector = stable_deployment["spec"]["selector"]["matchLabels"]
    assert not stable_selector.items() <= labels.items(), (
        "each Deployment must count only its own pods"
    )
    assert canary_deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    images = [
        deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        for deployment in (stable_deployment, canary_deployment)
    ]
    assert images[0] != images[1]


def test_a_gpu_pod_asks_for_a_gpu_and_another_image(
    render: Render, find: Find, deployment: Manifest
) -> None:
    pod = find(render("overlays/gpu"), "Deployment")["spec"]["template"]["spec"]
    container, usual_container = (
        pod["containers"][0],
        deployment["spec"]["template"]["spec"]["containers"][0],
    )
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert (
        container["image"].partition("@")[0] == usual_container["image"].partition("@")[0] + "-gpu"
    )


def test_keda_replaces_the_autoscaler(render: Render, find: Find) -> None:
    manifests = render("overlays/keda")
    assert "HorizontalPodAutoscaler" not in {manifest["kind"] for manifest in manifests}
    scaled, autoscaler = (
        find(manifests, "ScaledObject"),
        find(render("base"), "HorizontalPodAutoscaler"),
    )
    spec = scaled["spec"]
    assert spec["scaleTargetRef"]["name"] == find(manifests, "Deployment")["metadata"]["name"]
    assert (
        spec["advanced"]["horizontalPodAutoscalerConfig"]["name"] == autoscaler["metadata"]["name"]
    )
    assert spec["minReplicaCount"] == autoscaler["spec"]["minReplicas"]
    (trigger,) = spec["triggers"]
    settings = Settings.from_environment({})
    assert 0 < int(trigger["metadata"]["threshold"]) < settings.max_queue_size / 2


def test_kserve_runs_the_same_pod(render: Render, find: Find, deployment: Manifest) -> None:
    manifests = render("overlays/kserve")
    assert not {"Deployment", "Service", "HorizontalPodAutoscaler"} & {
        manifest["kind"] for manifest in manifests
    }
    predictor = find(manifests, "InferenceService")["spec"]["predictor"]
    usual_pod = deployment["spec"]["template"]["spec"]
    (kserve_container,), (usual_container,) = predictor["containers"], usual_pod["containers"]
    assert {"name": "PROTOCOL", "value": "v2"} in kserve_container["env"]
    kserve_container["env"].remove({"name": "PROTOCOL", "value": "v2"})
    for container in (kserve_container, usual_container):
        container["ports"][0].pop("protocol", None)
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            container[probe]["httpGet"].pop("path")
    assert {**kserve_container, "name": usual_container["name"]} == usual_container
    kserve_fields = {"containers", "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
    pod_fields = {key: value for key, value in predictor.items() if key not in kserve_fields}
    assert pod_fields.items() <= usual_pod.items()
    assert set(usual_pod) - set(pod_fields) == {"containers", "topologySpreadConstraints"}
