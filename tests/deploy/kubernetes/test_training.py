"""Training in a cluster: stopped runs continue, and worse models are not published."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainers import promote, run
from trainers.cli.arguments import parse
from trainers.run import STOPPED

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
Find = Callable[..., Manifest]
Pods = Callable[[Manifest], list[tuple[str, Manifest]]]
RUNS = ["job", "job-gpu", "retrain"]


def expand(text: str, variables: dict[str, str]) -> str:
    """Replace $(NAME) with earlier variables, as Kubernetes does; unknown names stay."""
    return re.sub(r"\$\((\w+)\)", lambda match: variables.get(match[1], match[0]), text)


def environment(
    container: Manifest, labels: dict[str, str], annotations: dict[str, str]
) -> dict[str, str]:
    """Return the environment of a container, evaluated in the order of the kubelet."""
    values: dict[str, str] = {}
    for entry in container["env"]:
        if "value" in entry:
            values[entry["name"]] = expand(entry["value"], values)
        elif "fieldRef" in entry["valueFrom"]:
            path = entry["valueFrom"]["fieldRef"]["fieldPath"]
            field, key = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path).groups()
            values[entry["name"]] = {"labels": labels, "annotations": annotations}[field][key]
        else:
            resource = entry["valueFrom"]["resourceFieldRef"]["resource"]
            bound, name = resource.split(".")
            values[entry["name"]] = container["resources"][bound][name]
    return values


@pytest.mark.parametrize("run_name", RUNS)
def test_settings_and_commands_are_accepted_by_the_trainer(
    run_name: str, render: Render, find: Find, pods: Pods, tmp_path: Path
) -> None:
    manifests = render(f"training/{run_name}")
    text = find(manifests, "ConfigMap")["data"]["training.yaml"]
    (tmp_path / "training.yaml").write_text(text)
    training_pods = [pod for manifest in manifests for pod in pods(manifest)]
    for _, pod in training_pods:
        container = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]][0]
        command = [*container["command"], *container["args"]]
        assert command[:3] == ["python", "-m", "trainers.run"]
        words = [word.replace("/settings", str(tmp_path)) for word in command[3:]]
        config = parse(words).config
        assert config.resume
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert config.data in mounts
        assert mounts["/artifacts"].get("readOnly") is not True
        assert config.output.parent == Path("/artifacts")
    (source,) = {
        volume["configMap"]["name"]
        for _, pod in training_pods
        for volume in pod["spec"]["volumes"]
        if "configMap" in volume
    }
    assert source == find(manifests, "ConfigMap")["metadata"]["name"]


@pytest.mark.parametrize("run_name", RUNS)
def test_stopped_runs_are_retried_and_wrong_use_fails_the_job(
    run_name: str, render: Render
) -> None:
    (manifest,) = (
        manifest for manifest in render(f"training/{run_name}") if manifest["kind"] != "ConfigMap"
    )
    spec = manifest["spec"].get("jobTemplate", manifest)["spec"]
    disruption_rule, stop_rule, wrong_use_rule = spec["podFailurePolicy"]["rules"]
    assert disruption_rule["action"] == stop_rule["action"] == "Ignore"
    assert disruption_rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert stop_rule["onExitCodes"] == {"operator": "In", "values": [STOPPED]}
    assert wrong_use_rule["action"] == "FailJob"
    assert wrong_use_rule["onExitCodes"] == {"operator": "In", "values": [run.WRONG_USE]}
    assert run.WRONG_USE == promote.WRONG_USE
    assert spec["podReplacementPolicy"] == "Failed", "two runs never share a folder"
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "a failure policy requires it"


def test_threads_follow_the_limit(render: Render) -> None:
    label = {"batch.kubernetes.io/job-name": "graft-training-1"}
    values = environment(find_job(render), label, {})
    assert values["TF_NUM_INTRAOP_THREADS"] == values["OMP_NUM_THREADS"] == "4"


def test_retraining_compares_before_it_publishes(render: Render, find: Find) -> None:
    cron = find(render("training/retrain"), "CronJob")["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    pod = cron["jobTemplate"]["spec"]["template"]["spec"]
    (training,), (promotion,) = pod["initContainers"], pod["containers"]
    label = {"batch.kubernetes.io/job-name": "graft-retraining-1"}
    training_environment, promotion_environment = (
        environment(container, label, {}) for container in (training, promotion)
    )
    assert training_environment["BENTOML_HOME"] != promotion_environment["BENTOML_HOME"], (
        "training sets `latest` in its own store"
    )
    job = environment(find_job(render), label, {})
    assert promotion_environment["BENTOML_HOME"] == job["BENTOML_HOME"], (
        "the store of the current model"
    )
    words = [
        expand(word, promotion_environment) for word in (*promotion["command"], *promotion["args"])
    ]
    options = promote._parser().parse_args(words[3:])
    assert options.new == Path("/artifacts/graft-retraining-1")
    assert expand(training["args"][1], training_environment) == str(options.new)


def find_job(render: Render) -> Manifest:
    (job,) = (manifest for manifest in render("training/job") if manifest["kind"] == "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return dict(container)
