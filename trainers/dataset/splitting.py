"""Who learns, who decides and who is asked at the end: train, validation and test pictures."""

from __future__ import annotations

import csv
import difflib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.dataset import grouping
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.filenames import looks
from trainers.dataset.scanning import SPLITS, DataError
from trainers.progress import log

SHARE = 0.15
"""Of all pictures, for the test and again for validation."""


def split(dataset: Dataset, seed: int) -> Dataset:
    """Give every picture its split, keeping those that the folder gave.

    Splits that the folder lacks are drawn from its training pictures, by content: a picture's
    draw, from 0 to 1, is a hash of seed and bytes, and that of a group of duplicates is the
    highest of theirs. Below 0.15 is the test, below 0.30 validation, the rest is for training. So
    neither names nor order matter, duplicates share a split, and a picture that is added draws
    nobody but its own duplicates, and those only towards training. Pictures of one source (--group)
    share a split, too, and are drawn by its name.

    Where a class would lack a split, it gets the picture or group that is nearest by its draw. A
    class with two gives one to training and one to the test; with three or more, all have one.
    That is the corner where an old picture may still move to the test: in a class so small that
    none of its draws is below 0.15 (or all are below 0.30), when a new picture joins two groups
    (or is its first above). A duplicate with another class takes its group to the split nearest
    training that either class wants.

    Raises:
        DataError: a class has no training picture, or no class has a test picture.
    """
    given = set(dataset.splits) - {"", "train"}
    parts = [*(one for one in ("test", "validation") if one not in given), "train"]
    splits = np.array(dataset.splits, dtype=object)
    free = np.flatnonzero(np.isin(splits, ["", "train"]))
    for index, label in enumerate(dataset.classes):
        if index not in dataset.labels[free]:
            raise DataError(
                f"class `{label}` of {dataset.title} has no pictures in train/: every class needs "
                f"some to learn from{_look_alike(dataset, label, set(dataset.labels[free]))}"
            )
    splits[free] = np.array(parts, dtype=object)[_draw(dataset, free, seed, len(parts) - 1)]
    if "test" not in splits:
        coarse = grouping.too_coarse(dataset)
        raise DataError(
            f"{dataset.title}: no picture is left for the test: "
            + (coarse and f"{coarse}; or ")
            + f"give train/ at least 2 different "
            f"{'sources (--group)' if dataset.sources else 'pictures'} of a class, or add a folder "
            "test/"
        )
    _say_what_was_drawn(dataset, splits, parts[:-1])
    return dataset.with_splits(tuple(splits))


def _look_alike(dataset: Dataset, label: str, learned: set[int]) -> str:
    """What to do about a class without training pictures, whose name may be misspelt."""
    others = {looks(dataset.classes[index]): dataset.classes[index] for index in learned}
    close = difflib.get_close_matches(looks(label), others, n=1, cutoff=0.8)
    if not close:
        return "; if they are not labelled, move the folder away"
    other = others[close[0]]
    return f"; train/ has `{other}` ({other!a}, not {label!a}): rename one if they are one"


def draws(digests: Sequence[str], seed: int) -> NDArray[np.float64]:
    """A number (N,) from 0 to 1 for each picture, from its content alone."""
    hashes = [hashlib.sha256(f"{seed}:{digest}".encode()).digest() for digest in digests]
    return np.array([int.from_bytes(one[:8]) / 2**64 for one in hashes])


def _draw(dataset: Dataset, free: NDArray[np.int64], seed: int, last: int) -> NDArray[np.int64]:
    """Which part each free picture is drawn for: 0 to `last`, which is training."""
    _, group = np.unique(grouping.together(dataset)[free], return_inverse=True)
    origins = grouping.origins(dataset)
    highest = np.zeros(group.max() + 1)
    np.maximum.at(highest, group, draws([origins[row] for row in free], seed))
    drawn = np.zeros(len(highest), np.int64)
    for index in range(len(dataset.classes)):
        own = np.unique(group[dataset.labels[free] == index])
        own = own[np.argsort(highest[own])]
        ends = last if len(own) > last else len(own) - 1  # parts before training that it serves
        cuts = [0]  # where in the sorted draws each part ends: at its share, but none is empty
        for at in range(ends):
            natural = np.searchsorted(highest[own], SHARE * (at + 1))
            cuts.append(int(np.clip(natural, cuts[-1] + 1, len(own) - ends + at)))
        part = np.searchsorted(cuts[1:], np.arange(len(own)), side="right")
        part[part == ends] = last
        drawn[own] = np.maximum(drawn[own], part)
    return drawn[group]


def write_csv(dataset: Dataset, path: Path) -> None:
    """Record every picture's content, class, split and, where --group names them, source; paths
    are relative to the data folder."""
    columns = {
        "path": dataset.paths,
        "sha256": dataset.digests,
        "class": [dataset.classes[label] for label in dataset.labels],
        "split": dataset.splits,
    }
    if dataset.sources:
        columns["group"] = dataset.sources
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def describe(dataset: Dataset) -> str:
    parts = ", ".join(f"{len(dataset.rows(part))} {part}" for part in SPLITS)
    return f"{len(dataset.paths)} pictures of {len(dataset.classes)} classes: {parts}"


def _say_what_was_drawn(
    dataset: Dataset, splits: NDArray[np.object_], drawn: Sequence[str]
) -> None:
    _, sizes = np.unique(dataset.groups, return_counts=True)
    duplicates = int(sizes[sizes > 1].sum())
    for part in drawn:
        count = int((splits == part).sum())
        if "train" in dataset.splits:
            log.info("no %s/ folder: %d pictures of train/ are set aside for it", part, count)
        if duplicates > SHARE * len(splits) and count < SHARE / 2 * len(splits):
            log.warning(
                "only %d of %d pictures are for %s, because %d have duplicates: a group of them "
                "is drawn as its last member, most often for training",
                *(count, len(splits), part, duplicates),
            )
