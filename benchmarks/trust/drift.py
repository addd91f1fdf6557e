"""Measures after how many changed pictures drift is raised, and whether ordinary ones raise it.

    python -m benchmarks.trust.drift PLUGIN WEIGHTS FOLDER FOREIGN [SEEDS=5] [--OPTION=VALUE ...]

Each seed makes another split and another model. The traffic consists of the test pictures,
in random order and repeated. It is replayed to the monitor of the service. After some
ordinary pictures, all pictures are changed in one way, or come from another folder, FOREIGN.
"""

from __future__ import annotations

import io
import itertools
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from service.bundle.reading import Bundle
from service.engine.classification import Classification
from service.engine.predictor import Predictor
from service.monitoring.drift import WINDOW, DriftMonitor
from service.monitoring.drift_reference import DriftReference
from trainers import train
from trainers.dataset.splits.split_table import read_split

ORDINARY, CHANGED, REPEATS = 20_000, 1_000, 5
ALERTING = ("embedding", "score", "novelty")
"""The kinds with an alert."""

Pixels = NDArray[np.uint8]


def filtered(image: Pixels) -> Pixels:
    blurred = ImageFilter.GaussianBlur(4 / 224 * len(image))
    return np.asarray(Image.fromarray(image).filter(blurred))


def compressed(image: Pixels) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=10)
    return np.asarray(Image.open(buffer))


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "darkened to 40%": lambda image: (image * 0.4).astype(np.uint8),
    "darkened to 60%": lambda image: (image * 0.6).astype(np.uint8),
    "blurred by 1/56 of the side": filtered,
    "JPEG of quality 10": compressed,
    "yellow light": lambda image: (image * (1, 0.9, 0.7)).astype(np.uint8),
    "upside down": lambda image: np.ascontiguousarray(image[::-1, ::-1]),
}


def main(
    plugin: str, weights: str, folder: str, foreign: str, seeds: str = "5", *options: str
) -> None:
    values: dict[str, Any] = dict(
        option.removeprefix("--").replace("-", "_").split("=") for option in options
    )
    highest: dict[str, list[float]] = defaultdict(list)
    waits: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as work:
        os.environ["BENTOML_HOME"] = work
        for seed in range(int(seeds)):
            trained = train(
                plugin, folder, weights=weights, seed=seed, output=work, name="drift", **values
            )
            predictor = Predictor(Bundle.read(trained.bundle), threads=1)
            pictures = list(held_out(predictor, Path(folder)))
            traffic = {name: answer(predictor, map(CHANGES[name], pictures)) for name in CHANGES}
            traffic["foreign pictures"] = answer(predictor, sample(predictor, Path(foreign)))
            measure(predictor.bundle, answer(predictor, iter(pictures)), traffic, highest, waits)
            print(f"seed {seed} is done", file=sys.stderr, flush=True)
    print("\n".join(table(f"{plugin}, {folder}, {seeds} seeds", highest, waits)))


def held_out(predictor: Predictor, folder: Path) -> Iterator[Pixels]:
    """Yield the test pictures of a model, at its input size."""
    for row in read_split(predictor.bundle):
        if row.split == "test":  # validation pictures are part of the reference
            yield predictor.decode((folder / row.path).read_bytes())


def sample(predictor: Predictor, folder: Path, count: int = 300) -> Iterator[Pixels]:
    """Yield pictures of a folder with class folders, chosen at equal distances."""
    paths = sorted(folder.glob("*/*"))
    for index in np.linspace(0, len(paths) - 1, count).astype(int):
        yield predictor.decode(paths[index].read_bytes())


def answer(predictor: Predictor, pictures: Iterator[Pixels]) -> list[Classification]:
    """Classify pictures one by one."""
    return [predictor.classify(picture[np.newaxis])[0] for picture in pictures]


def measure(
    bundle: Bundle,
    ordinary: list[Classification],
    traffic: dict[str, list[Classification]],
    highest: dict[str, list[float]],
    waits: dict[str, list[float]],
) -> None:
    """Append the highest ratios of ordinary pictures, and the waits for each kind of change."""
    reference = DriftReference.read(bundle)
    assert reference is not None, "the folder has too few pictures"
    rng = np.random.default_rng(0)
    for kind, ratio in replay_ordinary(reference, ordinary, rng).items():
        highest[kind].append(ratio)
    for (name, changed), _ in itertools.product(traffic.items(), range(REPEATS)):
        waits[name].append(pictures_until_raised(reference, ordinary, changed, rng))


def replay_ordinary(
    reference: DriftReference, ordinary: list[Classification], rng: np.random.Generator
) -> dict[str, float]:
    """Return the highest ratio of each kind while ORDINARY pictures are classified."""
    highest: dict[str, float] = defaultdict(float)

    def show(kind: str, ratio: float) -> None:
        highest[kind] = max(highest[kind], ratio)

    monitor = DriftMonitor(reference, show)
    for index in rng.integers(0, len(ordinary), ORDINARY):
        monitor.add(ordinary[index])
    return dict(highest)


def pictures_until_raised(
    reference: DriftReference,
    ordinary: list[Classification],
    changed: list[Classification],
    rng: np.random.Generator,
) -> float:
    """Return the number of changed pictures until drift is raised; infinity if that never happens.

    The change comes after WINDOW to 2 * WINDOW ordinary pictures.
    """
    ratios: dict[str, float] = {}
    monitor = DriftMonitor(reference, ratios.__setitem__)
    for index in rng.integers(0, len(ordinary), WINDOW + rng.integers(0, WINDOW)):
        monitor.add(ordinary[index])
    for count, index in enumerate(rng.integers(0, len(changed), CHANGED), 1):
        monitor.add(changed[index])
        if any(ratios[kind] > 1 for kind in ALERTING):
            return count
    return float("inf")


def table(
    title: str, highest: dict[str, list[float]], waits: dict[str, list[float]]
) -> Iterator[str]:
    """Yield the lines of the tables."""
    yield f"| {title}: {ORDINARY:,} ordinary pictures | highest ratio of any seed | false alarms |"
    yield "|---|---|---|"
    for kind, ratios in highest.items():
        yield f"| {kind} | {max(ratios):.2f} | {sum(ratio > 1 for ratio in ratios)} |"
    yield "\n| changed pictures until drift is raised | median | most | raised |"
    yield "|---|---|---|---|"
    for name, counts in waits.items():
        raised = [count for count in counts if count <= CHANGED]
        share = f"{len(raised)} of {len(counts)}"
        median, most = (f"{value:.0f}" for value in (np.median(counts), max(counts)))
        yield f"| {name} | {median} | {most} | {share} |".replace("inf", "never")


if __name__ == "__main__":
    main(*sys.argv[1:])
