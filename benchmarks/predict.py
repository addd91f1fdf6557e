"""Compares `service.predict` with plain loops that do the same work.

    .venv/bin/python benchmarks/predict.py BUNDLE [PICTURES] [ROUNDS]

Each round reads, decodes and scores a folder of generated 500 x 375 JPEGs in three ways: in one
process that has a thread for each core; in one process for each core, each with one thread; and
with the command `service.predict --csv`. Imports and the loading of the model do not count. The
speed of a machine changes over time, so the script compares speeds only within a round. The result
is the speed of the command, divided by that of the faster of the two loops.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from service.bundle.reading import Bundle
from service.engine.predictor import Predictor
from service.imaging import configure_process, decode
from service.system.resources import usable_cores

SIZE = (500, 375)
predictor: Predictor


def main(bundle: str, pictures: str = "600", rounds: str = "5") -> None:
    cores = usable_cores()
    rates: dict[str, list[float]] = {"threads": [], "processes": [], "command": []}
    load(Path(bundle))
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(cores) as threads,
        ProcessPoolExecutor(cores, get_context("spawn"), load, [Path(bundle)]) as processes,
    ):
        paths = [draw(Path(folder), number) for number in range(int(pictures))]
        for number in range(int(rounds) + 1):
            measured = {
                "threads": measure_pool(threads, paths),
                "processes": measure_pool(processes, paths),
                "command": measure_command(bundle, folder),
            }
            if number:  # the first round warms up
                for name, rate in measured.items():
                    rates[name].append(rate)
                line = ", ".join(f"{name} {rate:.0f}/s" for name, rate in measured.items())
                print(line, flush=True)
    ceiling = max(("threads", "processes"), key=lambda name: np.median(rates[name]))
    ratios = np.array(rates["command"]) / np.array(rates[ceiling])
    print(
        f"speed of the command, divided by that of the loop with {ceiling}: median "
        f"{np.median(ratios):.2f}, range {ratios.min():.2f} to {ratios.max():.2f} (rounds: "
        f"{rounds}, cores: {cores})"
    )


def draw(folder: Path, number: int) -> Path:
    rng = np.random.default_rng(number)
    patches = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
    scene = np.asarray(patches.resize(SIZE, Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-6, 7, (SIZE[1], SIZE[0], 1), np.int16)
    path = folder / f"{number}.jpg"
    Image.fromarray((scene + grain).clip(0, 255).astype(np.uint8)).save(path, quality=85)
    return path


def load(bundle: Path) -> None:
    """Load the model in this process, with one ONNX Runtime session for each core."""
    global predictor  # noqa: PLW0603  # a pool gives its workers no other place for it
    configure_process()
    predictor = Predictor(Bundle.read(bundle), threads=1, sessions=usable_cores())


def score(paths: Sequence[Path]) -> None:
    for path in paths:
        predictor.predict(decode(path.read_bytes(), predictor.image_size)[np.newaxis])


def measure_pool(pool: Executor, paths: list[Path]) -> float:
    """Divide the pictures among the workers of the pool; return the pictures scored per second."""
    cores = usable_cores()
    started = time.monotonic()
    list(pool.map(score, [paths[index::cores] for index in range(cores)]))
    return len(paths) / (time.monotonic() - started)


def measure_command(bundle: str, folder: str) -> float:
    """Run `service.predict`; return the pictures per second that it reports."""
    table = Path(folder, "answers.csv")
    command = [sys.executable, "-m", "service.predict", folder, "--bundle", bundle]
    completed = subprocess.run(
        [*command, "--csv", table], check=True, capture_output=True, text=True
    )
    rate = re.search(r"\(([\d.]+)/s\)", completed.stderr)
    assert rate, completed.stderr
    return float(rate[1])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("give the folder of a bundle: benchmarks/predict.py artifacts/NAME-VERSION")
    main(*sys.argv[1:])
