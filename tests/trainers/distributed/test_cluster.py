"""Who trains together: TF_CONFIG, and real processes that do."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle.reading import Bundle
from service.engine.predictor import Predictor
from trainers.distributed.cluster import ALONE, STOPPED, Cluster, ClusterError

DrawFolder = Callable[..., Path]
ROOT = Path(__file__).parents[3]
TWO = {"worker": ["a:1", "b:2"]}


def config(cluster: Any, job: str = "worker", index: Any = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})


@pytest.mark.parametrize("text", [None, "", " ", config({"worker": ["a:1"]})])
def test_without_others_a_process_trains_by_itself(text: str | None) -> None:
    cluster = Cluster.read(text)
    assert (cluster.size, cluster.rank, cluster.is_chief) == (1, 0, True)


def test_the_first_worker_is_the_chief_where_none_is_named() -> None:
    first, second = (Cluster.read(config(TWO, index=index)) for index in (0, 1))
    assert (first.rank, first.is_chief, first.addresses) == (0, True, ("a:1", "b:2"))
    assert (second.rank, second.is_chief, second.size) == (1, False, 2)


def test_a_named_chief_comes_first() -> None:
    cluster = {"worker": ["a:1", "b:2"], "chief": ["c:3"], "ps": []}
    assert Cluster.read(config(cluster, "chief")).is_chief
    last = Cluster.read(config(cluster, "worker", "1"))  # Kubeflow's index is a string at times
    assert (last.rank, last.size, last.addresses[0], last.is_chief) == (2, 3, "c:3", False)
    assert last.jobs == (("chief", 1), ("worker", 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must read"),
        ("[]", "must read"),
        ("{}", "must read"),
        (json.dumps({"cluster": TWO}), "unset it to train on this machine alone"),
        (config(TWO, index="x"), "must read"),
        (config({"worker": 3}), "must read"),
        (config(TWO, index=2), "task 2 of `worker`, of which `cluster` lists 2"),
        (config(TWO, index=-1), "task -1"),
        (config(TWO, "chief"), "task 0 of `chief`, of which `cluster` lists 0"),
        (config({**TWO, "ps": ["p:1"]}), "tasks of type `ps`"),
        (config({**TWO, "evaluator": ["e:1"]}, "evaluator"), "tasks of type `evaluator`"),
        (config({**TWO, "chief": ["c:1", "d:1"]}, "chief"), "several chiefs"),
        (config({"worker": ["a:1", "a:1"]}), "each task once"),
        (config({"worker": ["a:1", "b"]}), "host:port"),
        (config({"worker": ["a:1", "b:x"]}), "host:port"),
    ],
)
def test_what_is_no_cluster_is_refused(text: str, message: str) -> None:
    with pytest.raises(ClusterError, match="TF_CONFIG") as caught:
        Cluster.read(text)
    assert message in str(caught.value)


def test_a_malformed_tf_config_ends_a_run_by_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trainers.run import main

    monkeypatch.setenv("TF_CONFIG", "{")
    assert main(["--plugin", "tiny", "--data", "nowhere"]) == 2
    assert "TF_CONFIG" in capsys.readouterr().err


def test_one_device_needs_no_strategy() -> None:
    import tensorflow as tf

    assert ALONE.strategy() is tf.distribute.get_strategy()
    assert not tf.distribute.has_strategy()


# Dropout draws for each worker by itself, so a run in step is the same as one by itself only
# without it. The waits are shorter than in earnest.
RUN = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
import conftest  # registers the tiny backbone
from trainers import cluster, hardware
cluster.START_SECONDS, cluster.LOST_SECONDS = 20, 6
prepare = hardware.prepare
def without_dropout(*how):
    prepare(*how)
    from trainers import head
    head.DROPOUT = 0.0
hardware.prepare = without_dropout
from trainers.run import main
sys.exit(main())
"""
QUICK = ["--plugin", "tiny", "--weights", "none", "--head", "linear", "--strategy", "fine-tune"]
QUICK += ["--fine-tune-layers", "2", "--fine-tune-learning-rate", "0.003", "--batch-size", "7"]


@pytest.fixture
def folder(tmp_path: Path, draw_folder: DrawFolder) -> Path:
    return draw_folder(tmp_path / "pictures", red=14, green=14, blue=14)


@contextmanager
def workers(
    folder: Path, count: int, *options: str, ranks: tuple[int, ...] | None = None
) -> Iterator[list[subprocess.Popen[str]]]:
    """Runs of one cluster that share only the pictures; none is left at the end."""
    home = folder.parent
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    started = []
    try:
        for rank in range(count) if ranks is None else ranks:
            tf_config = config({"worker": addresses}, index=rank) if count > 1 else ""
            own = {"TF_CONFIG": tf_config, "GRAFT_CACHE": str(home / f"cache-{count}-{rank}")}
            output = ["--output", str(home / f"artifacts-{count}-{rank}")]
            command = [sys.executable, "-c", RUN, *QUICK, "--data", str(folder), *output, *options]
            log = (home / f"log-{count}-{rank}").open("w")
            one = subprocess.Popen(
                command, stdout=log, stderr=log, text=True, cwd=ROOT, env={**os.environ, **own}
            )
            started.append(one)
            log.close()
        yield started
    finally:
        for one in started:
            one.kill()
            one.wait(10)


def log_of(folder: Path, count: int, rank: int) -> str:
    return (folder.parent / f"log-{count}-{rank}").read_text()


def losses(log: str) -> list[str]:
    return re.findall(r"fine-tuning (epoch .*)", log)


def shares(log: str) -> list[tuple[str, str, str]]:
    return re.findall(r"(\w+): (\d+) of (\d+) were this worker's share", log)


def wait_for(folder: Path, count: int, rank: int, text: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while text not in log_of(folder, count, rank):
        assert time.monotonic() < deadline, log_of(folder, count, rank)
        time.sleep(0.1)


@pytest.mark.slow
def test_two_processes_make_the_bundle_of_one(folder: Path) -> None:
    with workers(folder, 2, "--fine-tune-epochs", "3") as pair:
        codes = [one.wait(90) for one in pair]
    chief, other = (log_of(folder, 2, rank) for rank in (0, 1))
    assert codes == [0, 0], chief + other
    with workers(folder, 1, "--fine-tune-epochs", "3") as (alone,):
        assert alone.wait(60) == 0, log_of(folder, 1, 0)

    assert len(losses(chief)) == 3
    assert losses(chief) == losses(other)
    for one, its in zip(shares(chief), shares(other), strict=True):
        assert one[0] == its[0]
        assert int(one[1]) + int(its[1]) == int(one[2])
        assert 0 <= int(one[1]) - int(its[1]) <= 1
    assert {one[0] for one in shares(chief)} == {"embeddings", "maps"}
    written = [path.name for path in (folder.parent / "artifacts-2-1").iterdir()]
    assert written == [".graft.lock"], "only the chief writes"
    assert "serve it" not in other

    together, by_itself = (
        Bundle.read(Path(log_of(folder, count, 0).splitlines()[-1])) for count in (2, 1)
    )
    assert (together.path / "split.csv").read_text() == (by_itself.path / "split.csv").read_text()
    reports = [json.loads((one.path / "metrics.json").read_text()) for one in (together, by_itself)]
    heads = [[row["val_loss"] for row in one["phases"]["head"]] for one in reports]
    np.testing.assert_allclose(*heads, atol=1e-6)
    assert all(one["decision"].startswith("fine-tuning") for one in reports), reports
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    answers = [Predictor(one).predict(images) for one in (together, by_itself)]
    np.testing.assert_allclose(*answers, atol=1e-5)


@pytest.mark.slow
def test_a_time_budget_ends_all_workers_together(folder: Path) -> None:
    with workers(folder, 2, "--fine-tune-epochs", "9999", "--time-budget", "12") as pair:
        codes = [one.wait(150) for one in pair]
    logs = [log_of(folder, 2, rank) for rank in (0, 1)]
    assert codes == [0, 0], logs[0] + logs[1]
    assert losses(logs[0]) == losses(logs[1])
    assert "the time budget is spent" in logs[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dead", "how"), [(0, signal.SIGKILL), (1, signal.SIGSTOP)], ids=["killed", "frozen"]
)
def test_a_dead_worker_ends_the_others_and_all_go_on_together(
    folder: Path, dead: int, how: signal.Signals
) -> None:
    # The number of epochs is part of what a run is, so the second one has to be killed as well.
    endless = ("--fine-tune-epochs", "9999", "--fine-tune-learning-rate", "0.0001")
    with workers(folder, 2, *endless) as pair:
        wait_for(folder, 2, 0, "fine-tuning epoch 3/")
        os.kill(pair[dead].pid, how)
        assert pair[1 - dead].wait(25) == STOPPED
    left = log_of(folder, 2, 1 - dead)
    assert "graft: another of the 2 workers" in left
    assert "start all again with --resume" in left
    assert "Traceback" not in left
    if dead:
        return  # both ways to resume are one
    with workers(folder, 2, *endless, "--resume"):
        for rank in (0, 1):  # the other has never seen the chief's disk
            wait_for(folder, 2, rank, "resuming after epoch ")
        wait_for(folder, 2, 1, "fine-tuning epoch ")
    logs = [log_of(folder, 2, rank) for rank in (0, 1)]
    kept = [int(re.findall(r"resuming after epoch (\d+)", log)[0]) for log in logs]
    assert kept[0] == kept[1] >= 2
    assert losses(logs[1])[0].startswith(f"epoch {kept[0] + 1}/")


@pytest.mark.slow
@pytest.mark.parametrize("present", [0, 1])
def test_a_worker_that_never_comes_is_not_waited_for_without_end(
    folder: Path, present: int
) -> None:
    with workers(folder, 2, ranks=(present,)) as (one,):
        assert one.wait(60) == STOPPED
    assert "did not come within 20 s" in log_of(folder, 2, present)
