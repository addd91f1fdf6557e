"""What does the command cost? `service.predict` against its parts in bare loops, side by side.

    .venv/bin/python benchmarks/predict.py BUNDLE [PICTURES] [ROUNDS]

A round reads, decodes and scores a folder of drawn 500 x 375 JPEGs three times: by one process with
a thread for each core, by one process of one thread for each core, and by the command with --csv.
Imports and the loading of the model do not count. Machines drift; the ratio is the figure, taken
to whichever of the two loops is faster.
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
                "threads": by(threads, paths),
                "processes": by(processes, paths),
                "command": by_command(bundle, folder),
            }
            if number:  # the first round warms up
                for way, rate in measured.items():
                    rates[way].append(rate)
                said = ", ".join(f"{way} {rate:.0f}/s" for way, rate in measured.items())
                print(said, flush=True)
    ceiling = max(("threads", "processes"), key=lambda way: np.median(rates[way]))
    ratios = np.array(rates["command"]) / np.array(rates[ceiling])
    print(
        f"the command reaches {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}) "
        f"of bare {ceiling} (median and range of {rounds} rounds, {cores} cores)"
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
    """The model of this process, for as many threads of it as there are cores."""
    global predictor  # noqa: PLW0603  # a worker of a pool has no other place
    configure_process()
    predictor = Predictor(Bundle.read(bundle), threads=1, sessions=usable_cores())


def score(paths: Sequence[Path]) -> None:
    for path in paths:
        predictor.predict(decode(path.read_bytes(), predictor.image_size)[np.newaxis])


def by(pool: Executor, paths: list[Path]) -> float:
    """Pictures a second, each worker scoring its share of the folder."""
    cores = usable_cores()
    started = time.monotonic()
    list(pool.map(score, [paths[index::cores] for index in range(cores)]))
    return len(paths) / (time.monotonic() - started)


def by_command(bundle: str, folder: str) -> float:
    """Pictures a second, as it says itself."""
    table = Path(folder, "answers.csv")
    command = [sys.executable, "-m", "service.predict", folder, "--bundle", bundle]
    done = subprocess.run([*command, "--csv", table], check=True, capture_output=True, text=True)
    found = re.search(r"\(([\d.]+)/s\)", done.stderr)
    assert found, done.stderr
    return float(found[1])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("name a bundle folder: benchmarks/predict.py artifacts/classifier-...")
    main(*sys.argv[1:])
