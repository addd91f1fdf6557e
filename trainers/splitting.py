"""Who learns, who decides and who is asked at the end: train, validation and test pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.data import Dataset
from trainers.progress import log
from trainers.scanning import SPLITS, DataError

SHARE = 0.15
"""Of each class, for validation and again for test."""


def split(dataset: Dataset, seed: int) -> Dataset:
    """Give every picture its split, keeping those that the folder gave.

    Splits that the folder lacks are drawn from its training pictures, class by class. A class
    with two pictures gives one to training and one to test; with three or more, all have one.

    Raises:
        DataError: a class has no training picture, or no class has a test picture.
    """
    splits = np.array(dataset.splits, dtype=object)
    given = set(dataset.splits) - {"", "train"}
    missing = [one for one in ("test", "validation") if one not in given]
    rng = np.random.default_rng(seed)
    for index, label in enumerate(dataset.classes):
        own = np.flatnonzero(dataset.labels == index)
        free = own[np.isin(splits[own], ["", "train"])]
        if not len(free):
            raise DataError(
                f"class `{label}` of {dataset.folder} has no pictures in train/: "
                "every class needs some to learn from"
            )
        splits[free] = _draw(free, missing, rng)
    if "test" not in splits:
        raise DataError(
            f"{dataset.folder}: no picture is left for the test: give train/ at least 2 pictures "
            "of a class, or add a folder test/"
        )
    if "train" in dataset.splits:
        for part in missing:
            count = int((splits == part).sum())
            log.info("no %s/ folder: %d pictures of train/ are set aside for it", part, count)
    return dataset.with_splits(tuple(splits))


def write_csv(dataset: Dataset, path: Path) -> None:
    """Record every picture's class and split; paths are relative to the data folder."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "class", "split"))
        for name, label, part in zip(dataset.paths, dataset.labels, dataset.splits, strict=True):
            writer.writerow((name, dataset.classes[label], part))


def describe(dataset: Dataset) -> str:
    parts = ", ".join(f"{len(dataset.rows(part))} {part}" for part in SPLITS)
    return f"{len(dataset.paths)} pictures of {len(dataset.classes)} classes: {parts}"


def _draw(
    rows: NDArray[np.int64], missing: list[str], rng: np.random.Generator
) -> NDArray[np.object_]:
    drawn = np.full(len(rows), "train", dtype=object)
    order = rng.permutation(len(rows))
    share = max(1, round(len(rows) * SHARE))
    for part in missing:
        if len(order) > 1:  # the last one is for learning
            drawn[order[:share]] = part
            order = order[share:]
    return drawn
