"""Training in a cluster: stopped runs continue, and worse models are not published."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainers import promote, run
from trainers.cli import exit_codes
from trainers.cli.arguments import parse

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
Find = Callable[..., Manifest]
Pods = Callable[[Manifest], list[tuple[str, Manifest]]]
RUNS = ["job", "job-gpu", "retrain"]


def expand(text: str, known: dict[str, str]) -> str:
    """Expand Kubernetes' $(NAME) by earlier variables; unknown names stay as they are."""
    return re.sub(r"\$\((\w+)\)", lambda match: known.get(match[1], match[0]), text)


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
    trained = [pod for manifest in manifests for pod in pods(manifest)]
    for _, pod in trained:
        first = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]][0]
        command = [*first["command"], *first["args"]]
        assert command[:3] == ["python", "-m", "trainers.run"]
        words = [word.replace("/settings", str(tmp_path)) for word in command[3:]]
        config = parse(words).config
        assert config.resume
        mounts = {mount["mountPath"]: mount for mount in first["volumeMounts"]}
        assert config.data in mounts
        assert mounts["/artifacts"].get("readOnly") is not True
        assert config.output.parent == Path("/artifacts")
    (source,) = {
        volume["configMap"]["name"]
        for _, pod in trained
        for volume in pod["spec"]["volumes"]
        if "configMap" in volume
    }
    assert source == find(manifests, "ConfigMap")["metadata"]["name"]


@pytest.mark.parametrize("run_name", RUNS)
def test_a_stop_does_not_count_and_bad_data_is_final(run_name: str, render: Render) -> None:
    (manifest,) = (
        manifest for manifest in render(f"training/{run_name}") if manifest["kind"] != "ConfigMap"
    )
    spec = manifest["spec"].get("jobTemplate", manifest)["spec"]
    disrupted, stopped, wrong = spec["podFailurePolicy"]["rules"]
    assert disrupted["action"] == stopped["action"] == "Ignore"
    assert disrupted["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert stopped["onExitCodes"] == {"operator": "In", "values": [exit_codes.STOPPED]}
    assert wrong["action"] == "FailJob"
    assert wrong["onExitCodes"] == {"operator": "In", "values": [run.WRONG_USE]}
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
    first, second = (environment(container, label, {}) for container in (training, promotion))
    assert first["BENTOML_HOME"] != second["BENTOML_HOME"], (
        "training sets `latest` in its own store"
    )
    job = environment(find_job(render), label, {})
    assert second["BENTOML_HOME"] == job["BENTOML_HOME"], "where the first model is"
    words = [expand(word, second) for word in (*promotion["command"], *promotion["args"])]
    options = promote._parser().parse_args(words[3:])
    assert options.new == Path("/artifacts/graft-retraining-1")
    assert expand(training["args"][1], first) == str(options.new)


def find_job(render: Render) -> Manifest:
    (job,) = (manifest for manifest in render("training/job") if manifest["kind"] == "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return dict(container)
