"""Fine-tuning by two processes of one core each over TF_CONFIG, against one such process.

.venv/bin/python benchmarks/distributed.py [PLUGIN] [PIXELS] [LAYERS] [ROUNDS]

`trainers.fitting` itself on random inputs, in processes that stay: one by itself, and two that
train together over loopback, each pinned to a core and with 32 pictures a step on each device. They
take turns. Throughput is in training pictures per second from the end of the first epoch to the
end of the last: starting and compiling are left out, the validation after each epoch is in.
Processor milliseconds are those of all processes of a way, per training picture. If nothing else
waited, two processes could be at most 2 x (those of one) / (those of two) times as fast as one.
Other programs change this bound less than the wall time, but they change it: processes that wait
for each other switch more often. Only a quiet machine gives figures to keep.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]
EPOCHS, BATCH, CLASSES, TRAINED, VALIDATED = 4, 32, 4, 1280, 192


@dataclass(frozen=True)
class Random:
    """Inputs to learn from, in place of features or pictures."""

    values: NDArray[Any]
    views: int = 1

    def __len__(self) -> int:
        return len(self.values)

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[Any]:
        chosen: NDArray[Any] = self.values[rows]
        return chosen


def work(plugin: str, pixels: str, layers: str) -> None:
    """A process of the benchmark: fine-tune at each line of stdin, and print the figures."""
    from trainers import hardware
    from trainers.cluster import Cluster

    hardware.prepare(0, "cpu", "float32")
    cluster = Cluster.read(os.environ.get("TF_CONFIG"))
    strategy = cluster.strategy()
    import keras

    from plugins.registry import resolve
    from trainers import features, head
    from trainers.batches import Batches, together
    from trainers.checkpoint import Checkpoint
    from trainers.clock import ENDLESS
    from trainers.exchange import Exchange
    from trainers.fitting import MIXUP, fit
    from trainers.model import embedder
    from trainers.progress import Progress
    from trainers.strategy import Plan

    backbone = resolve(plugin)
    body = backbone.load("none", int(pixels))
    backbone.freeze(body)
    backbone.fine_tune(body, int(layers))
    whole = embedder(body)
    parts = features.cut(whole, TRAINED + VALIDATED)
    tail = parts[1] if parts else whole
    width = tail.output_shape[-1]
    answers = head.build(np.ones(width, np.float32), np.zeros(width, np.float32), CLASSES)
    model = keras.Model(tail.input, answers(tail.output))
    start = model.get_weights()
    rng = np.random.default_rng(0)
    size = together(BATCH, strategy.num_replicas_in_sync, TRAINED)

    def batches(count: int, seed: int | None) -> Batches:
        values = rng.random((count, *tail.input_shape[1:]), np.float32)
        labels, even = np.arange(count) % CLASSES, np.ones(CLASSES, np.float32)
        return Batches(Random(values), labels, even, size, seed, MIXUP if seed is not None else 0)

    train, validation = batches(TRAINED, 0), batches(VALIDATED, None)
    print(json.dumps({"shape": list(tail.input_shape[1:]), "step": size}), flush=True)
    for _ in sys.stdin:
        marks: list[tuple[float, float]] = []
        board = SimpleNamespace(
            add=lambda *row, to=marks: to.append((time.monotonic(), time.process_time()))
        )
        model.set_weights(start)
        run: Any = SimpleNamespace(
            strategy=strategy,
            config=SimpleNamespace(precision="float32"),
            clock=ENDLESS,
            progress=Progress(is_quiet=True),
            board=board,
        )
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Checkpoint(Path(folder) / "checkpoint", "", Exchange(cluster))
            fit(model, train, validation, Plan(EPOCHS, int(layers), 1e-4, ()), checkpoint, run)
        (begun, used), (ended, used_then) = marks[0], marks[-1]
        print(json.dumps({"wall": ended - begun, "processor": used_then - used}), flush=True)


class Worker:
    """Such a process, seen from outside."""

    def __init__(self, core: int, tf_config: str, arguments: list[str], log: Path) -> None:
        one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), sys.executable, __file__, "work", *arguments],
                env={**os.environ, **one_thread, "TF_CONFIG": tf_config},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def begin(self) -> None:
        assert self.process.stdin
        print(file=self.process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"a process ended:\n{self._log.read_text()[-4000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(workers: list[Worker]) -> tuple[float, float]:
    """Training pictures per second, and processor milliseconds per picture of all workers."""
    for worker in workers:
        worker.begin()
    answers = [worker.answer() for worker in workers]
    seen = TRAINED * (EPOCHS - 1)
    wall = max(one["wall"] for one in answers)
    return seen / wall, 1000 * sum(one["processor"] for one in answers) / seen


def main(
    plugin: str = "mobilenet:v2-0.35", pixels: str = "96", layers: str = "20", rounds: str = "3"
) -> None:
    with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as other:
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other)]
    configs = [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})
        for rank in (0, 1)
    ]
    arguments, logs = [plugin, pixels, layers], Path(tempfile.mkdtemp())
    ways = {
        "one": [Worker(0, "", arguments, logs / "one")],
        "two": [
            Worker(rank, config, arguments, logs / f"two-{rank}")
            for rank, config in enumerate(configs)
        ],
    }
    figures: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    try:
        told = {way: [worker.answer() for worker in workers].pop() for way, workers in ways.items()}
        print(f"{plugin}, {pixels} px, the last {layers} layers: {told}", flush=True)
        for _ in range(int(rounds)):
            for way, workers in ways.items():
                figures[way].append(measure(workers))
                speed, cost = figures[way][-1]
                print(
                    f"{way} {speed:8.1f}/s {cost:7.2f} ms  load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
    finally:
        for worker in (worker for workers in ways.values() for worker in workers):
            worker.process.kill()
            worker.process.wait()
    speeds = {way: [speed for speed, _ in rows] for way, rows in figures.items()}
    costs = {way: min(cost for _, cost in rows) for way, rows in figures.items()}
    for name, choose in (("median", statistics.median), ("best", max)):
        print(f"two / one, {name}: {choose(speeds['two']) / choose(speeds['one']):.2f}")
    print(f"two / one, at most, by processor time: {2 * costs['one'] / costs['two']:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
