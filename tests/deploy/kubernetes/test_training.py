"""Training in a cluster: what stops goes on, and what operators set up trains together."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from service.bundle.manifest import Bundle
from trainers import promote, run
from trainers.cli.arguments import parse
from trainers.distributed.cluster import STOPPED, Cluster

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
Find = Callable[..., Manifest]
Pods = Callable[[Manifest], list[tuple[str, Manifest]]]
DrawFolder = Callable[..., Path]
ROOT = Path(__file__).parents[3]
RUNS = ["job", "job-gpu", "jobset", "tfjob", "retrain"]
KINDS = {"JobSet": "training/jobset", "TFJob": "training/tfjob"}


@dataclass(frozen=True)
class Worker:
    """A pod as its operator makes it: its name in the network, and its environment."""

    host: str
    environment: dict[str, str]


def expand(text: str, known: dict[str, str]) -> str:
    """Kubernetes' $(NAME): of what stands before it; unknown names stay as they are."""
    return re.sub(r"\$\((\w+)\)", lambda found: known.get(found[1], found[0]), text)


def environment(
    container: Manifest, labels: dict[str, str], annotations: dict[str, str]
) -> dict[str, str]:
    """What a container's processes see, in the order in which the kubelet works it out."""
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


def of_jobset(jobset: Manifest) -> Iterator[Worker]:
    """https://jobset.sigs.k8s.io: <jobset>-<job>-<replica>-<pod> in a subdomain of its name."""
    name = jobset["metadata"]["name"]
    for job in jobset["spec"]["replicatedJobs"]:
        spec = job["template"]["spec"]
        assert spec["completionMode"] == "Indexed"
        assert spec["parallelism"] == spec["completions"], "all have to run at a time"
        (container,) = spec["template"]["spec"]["containers"]
        for replica in range(job["replicas"]):
            for index in range(spec["completions"]):
                labels = {"jobset.sigs.k8s.io/jobset-name": name}
                annotations = {"batch.kubernetes.io/job-completion-index": str(index)}
                host = f"{name}-{job['name']}-{replica}-{index}.{name}"
                yield Worker(host, environment(container, labels, annotations))


def of_tfjob(job: Manifest) -> Iterator[Worker]:
    """https://www.kubeflow.org/docs/components/trainer/legacy-v1/user-guides/tensorflow."""
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    roles = job["spec"]["tfReplicaSpecs"]

    def hosts(role: str) -> list[str]:
        count = roles[role]["replicas"]
        return [f"{name}-{role.lower()}-{index}.{namespace}.svc" for index in range(count)]

    cluster = {}
    for role, replica in roles.items():
        (container,) = replica["template"]["spec"]["containers"]
        assert container["name"] == "tensorflow", "where the operator puts TF_CONFIG"
        (port,) = (one for one in container["ports"] if one["name"] == "tfjob-port")
        cluster[role.lower()] = [f"{host}:{port['containerPort']}" for host in hosts(role)]
    for role in roles:
        (container,) = roles[role]["template"]["spec"]["containers"]
        for index, host in enumerate(hosts(role)):
            values = environment(container, {"training.kubeflow.org/job-name": name}, {})
            assert "TF_CONFIG" not in values
            task = {"type": role.lower(), "index": index}
            config = {"cluster": cluster, "task": task, "environment": "cloud"}
            yield Worker(host, values | {"TF_CONFIG": json.dumps(config)})


@pytest.fixture(params=KINDS)
def workers(request: pytest.FixtureRequest, render: Render, find: Find) -> list[Worker]:
    manifest = find(render(KINDS[request.param]), request.param)
    return list({"JobSet": of_jobset, "TFJob": of_tfjob}[request.param](manifest))


@pytest.mark.parametrize("run_name", RUNS)
def test_settings_and_commands_are_the_trainers(
    run_name: str, render: Render, find: Find, pods: Pods, tmp_path: Path
) -> None:
    manifests = render(f"training/{run_name}")
    text = find(manifests, "ConfigMap")["data"]["training.yaml"]
    (tmp_path / "training.yaml").write_text(text)
    trained = [one for manifest in manifests for one in pods(manifest)]
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


@pytest.mark.parametrize("run_name", ["job", "job-gpu", "retrain"])
def test_a_stop_does_not_count_and_bad_data_is_final(run_name: str, render: Render) -> None:
    (manifest,) = (one for one in render(f"training/{run_name}") if one["kind"] != "ConfigMap")
    spec = manifest["spec"].get("jobTemplate", manifest)["spec"]
    disrupted, stopped, wrong = spec["podFailurePolicy"]["rules"]
    assert disrupted["action"] == stopped["action"] == "Ignore"
    assert disrupted["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert stopped["onExitCodes"] == {"operator": "In", "values": [STOPPED]}
    assert wrong["action"] == "FailJob"
    assert wrong["onExitCodes"] == {"operator": "In", "values": [run.WRONG_USE]}
    assert run.WRONG_USE == promote.WRONG_USE
    assert spec["podReplacementPolicy"] == "Failed", "two runs never share a folder"
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "what a failure policy asks for"


def test_a_jobset_starts_all_again_after_a_stop(render: Render, find: Find) -> None:
    spec = find(render("training/jobset"), "JobSet")["spec"]
    (rule,) = spec["failurePolicy"]["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    for job in spec["replicatedJobs"]:
        its = job["template"]["spec"]
        disrupted, stopped = its["podFailurePolicy"]["rules"]
        assert disrupted["action"] == stopped["action"] == "FailJob"
        assert disrupted["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
        assert stopped["onExitCodes"]["values"] == [STOPPED]
        assert its["backoffLimit"] == 0


def test_the_chief_alone_has_the_artifacts(render: Render, pods: Pods) -> None:
    for kind, name in KINDS.items():
        (manifest,) = (one for one in render(name) if one["kind"] == kind)
        kept = {
            where.split()[-1].lower(): "persistentVolumeClaim" in volume
            for where, pod in pods(manifest)
            for volume in pod["spec"]["volumes"]
            if volume["name"] == "artifacts"
        }
        assert kept == {"chief": True, "worker": False}


def test_all_workers_find_each_other_by_tf_config(workers: list[Worker]) -> None:
    clusters = [Cluster.read(worker.environment["TF_CONFIG"]) for worker in workers]
    assert len(workers) == 3
    assert {cluster.addresses for cluster in clusters} == {clusters[0].addresses}
    assert sorted(cluster.rank for cluster in clusters) == list(range(len(workers)))
    for worker, cluster in zip(workers, clusters, strict=True):
        assert cluster.addresses[cluster.rank] == f"{worker.host}:2222"
        assert "$(" not in "".join(worker.environment.values())
    assert clusters[0].is_chief


def test_threads_follow_the_limit(workers: list[Worker]) -> None:
    for worker in workers:
        assert worker.environment["TF_NUM_INTRAOP_THREADS"] == "4"
        assert worker.environment["OMP_NUM_THREADS"] == "4"


def test_retraining_compares_before_it_publishes(render: Render, find: Find) -> None:
    cron = find(render("training/retrain"), "CronJob")["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    pod = cron["jobTemplate"]["spec"]["template"]["spec"]
    (training,), (promotion,) = pod["initContainers"], pod["containers"]
    label = {"batch.kubernetes.io/job-name": "graft-retraining-1"}
    first, second = (environment(one, label, {}) for one in (training, promotion))
    assert first["BENTOML_HOME"] != second["BENTOML_HOME"], "training says `latest` by itself"
    job = environment(find_job(render), label, {})
    assert second["BENTOML_HOME"] == job["BENTOML_HOME"], "where the first model is"
    words = [expand(word, second) for word in (*promotion["command"], *promotion["args"])]
    options = promote._parser().parse_args(words[3:])
    assert options.new == Path("/artifacts/graft-retraining-1")
    assert expand(training["args"][1], first) == str(options.new)


def find_job(render: Render) -> Manifest:
    (job,) = (one for one in render("training/job") if one["kind"] == "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return dict(container)


@pytest.fixture(scope="module")
def processes() -> ModuleType:
    """How tests/trainers/distributed/test_cluster.py trains by real processes."""
    path = ROOT / "tests/trainers/distributed/test_cluster.py"
    spec = importlib.util.spec_from_file_location("test_cluster_processes", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_real_processes_train_by_that_tf_config(
    workers: list[Worker], processes: ModuleType, draw_folder: DrawFolder, tmp_path: Path
) -> None:
    """Their host names become ports of this machine; everything else is as in the manifest."""
    folder = draw_folder(tmp_path / "pictures", red=14, green=14, blue=14)
    places = {}
    for worker in workers:
        with socket.create_server(("127.0.0.1", 0)) as free:
            places[f"{worker.host}:2222"] = f"127.0.0.1:{free.getsockname()[1]}"
    started = []
    try:
        for rank, worker in enumerate(workers):
            config = worker.environment["TF_CONFIG"]
            for name, place in places.items():
                config = config.replace(name, place)
            own = {"TF_CONFIG": config, "GRAFT_CACHE": str(tmp_path / f"cache-{rank}")}
            patient = processes.RUN.replace("= 20, 6", "= 200, 60")  # three on a busy machine
            command = [sys.executable, "-c", patient, *processes.QUICK, "--data", str(folder)]
            command += ["--fine-tune-epochs", "2", "--output", str(tmp_path / f"out-{rank}")]
            with (tmp_path / f"log-{rank}").open("w") as log:
                started.append(
                    subprocess.Popen(
                        command, stdout=log, stderr=log, cwd=ROOT, env={**os.environ, **own}
                    )
                )
        codes = [one.wait(300) for one in started]
    finally:
        for one in started:
            one.kill()
            one.wait(10)
    logs = [(tmp_path / f"log-{rank}").read_text() for rank in range(len(workers))]
    assert codes == [0, 0, 0], "\n".join(logs)
    assert Bundle.read(Path(logs[0].splitlines()[-1])).path.parent == tmp_path / "out-0"
    assert len({tuple(processes.losses(log)) for log in logs}) == 1, "all in step"
    assert len(processes.losses(logs[0])) == 2
