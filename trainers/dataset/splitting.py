"""Splits a dataset into training, validation and test pictures, by their content."""

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
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import SPLITS, normalize
from trainers.progress import log

HELD_OUT_SHARE = 0.15
"""Share of the pictures for the test, and the same again for validation."""


def split(dataset: Dataset, seed: int) -> Dataset:
    """Assign every picture to a split; splits that the folder names stay as they are.

    Missing splits are drawn from the training pictures. A picture's draw, from 0 to 1, is a hash of
    the seed and its content; the draw of a group of duplicates is the highest of its members.
    Below 0.15 is the test, below 0.30 validation, the rest training. So names and order do not
    matter, duplicates share a split, and a new picture moves no other picture except its own
    duplicates, and those only towards training. Pictures of one source (--group) share a split too,
    and the draw is a hash of the source's name.

    A class that would lack a split gives it the picture or group with the nearest draw: a class of
    two gives one to training and one to the test, a class of three or more has all splits. Only
    there may an old picture still move to the test: in a class so small that none of its draws is
    below 0.15 (or all are below 0.30), when a new picture joins two groups (or is its first above).
    A duplicate in another class takes its group to the split nearest training that either class
    wants.

    Raises:
        DataError: a class has no training picture, or no class has a test picture.
    """
    given = set(dataset.splits) - {"", "train"}
    missing = [name for name in ("test", "validation") if name not in given]
    splits = np.array(dataset.splits, dtype=object)
    free = np.flatnonzero(np.isin(splits, ["", "train"]))
    for index, label in enumerate(dataset.classes):
        if index not in dataset.labels[free]:
            raise DataError(
                f"class `{label}` of {dataset.title} has no pictures in train/: every class needs "
                f"some to learn from{_suggest_rename(dataset, label, set(dataset.labels[free]))}"
            )
    names = np.array([*missing, "train"], dtype=object)
    splits[free] = names[_draw_splits(dataset, free, seed, len(missing))]
    if "test" not in splits:
        coarse = grouping.explain_coarse_sources(dataset)
        raise DataError(
            f"{dataset.title}: no picture is left for the test: "
            + (coarse and f"{coarse}; or ")
            + f"give train/ at least 2 different "
            f"{'sources (--group)' if dataset.sources else 'pictures'} of a class, or add a folder "
            "test/"
        )
    _log_drawn_splits(dataset, splits, missing)
    return dataset.with_splits(tuple(splits))


def _suggest_rename(dataset: Dataset, label: str, trained: set[int]) -> str:
    """What to do about a class without training pictures; its name may be misspelt."""
    others = {normalize(dataset.classes[index]): dataset.classes[index] for index in trained}
    close = difflib.get_close_matches(normalize(label), others, n=1, cutoff=0.8)
    if not close:
        return "; if they are not labelled, move the folder away"
    other = others[close[0]]
    return (
        f"; train/ has `{other}` ({other!a}, not {label!a}): rename one if they are the same class"
    )


def hash_fractions(keys: Sequence[str], seed: int) -> NDArray[np.float64]:
    """A fraction (N,) from 0 to 1 for each key, uniform over keys and seeds."""
    hashes = [hashlib.sha256(f"{seed}:{key}".encode()).digest() for key in keys]
    return np.array([int.from_bytes(digest[:8]) / 2**64 for digest in hashes])


def _draw_splits(
    dataset: Dataset, free: NDArray[np.int64], seed: int, train: int
) -> NDArray[np.int64]:
    """The index of the split of each free picture: 0 to `train`, which is training."""
    _, group = np.unique(grouping.merge_groups(dataset)[free], return_inverse=True)
    keys = grouping.split_keys(dataset)
    draws = np.zeros(group.max() + 1)  # of groups
    np.maximum.at(draws, group, hash_fractions([keys[row] for row in free], seed))
    drawn = np.zeros(len(draws), np.int64)
    for label in range(len(dataset.classes)):
        own = np.unique(group[dataset.labels[free] == label])
        own = own[np.argsort(draws[own])]
        held_out = train if len(own) > train else len(own) - 1  # splits that this class serves
        ends = [0]  # of each split in the sorted draws: at its share, but no split is empty
        for index in range(held_out):
            natural = np.searchsorted(draws[own], HELD_OUT_SHARE * (index + 1))
            ends.append(int(np.clip(natural, ends[-1] + 1, len(own) - held_out + index)))
        split_index = np.searchsorted(ends[1:], np.arange(len(own)), side="right")
        split_index[split_index == held_out] = train
        drawn[own] = np.maximum(drawn[own], split_index)
    return drawn[group]


def write_csv(dataset: Dataset, path: Path) -> None:
    """Write path, SHA-256, class and split of every picture, and its source where --group is used.

    Paths are relative to the data folder.
    """
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
    """How many pictures, classes and pictures per split there are, in a line."""
    counts = ", ".join(f"{len(dataset.rows(name))} {name}" for name in SPLITS)
    return f"{len(dataset.paths)} pictures of {len(dataset.classes)} classes: {counts}"


def _log_drawn_splits(dataset: Dataset, splits: NDArray[np.object_], drawn: Sequence[str]) -> None:
    _, sizes = np.unique(dataset.duplicate_groups, return_counts=True)
    duplicates = int(sizes[sizes > 1].sum())
    for name in drawn:
        count = int((splits == name).sum())
        if "train" in dataset.splits:
            log.info("no %s/ folder: %d pictures of train/ are set aside for it", name, count)
        if duplicates > HELD_OUT_SHARE * len(splits) and count < HELD_OUT_SHARE / 2 * len(splits):
            log.warning(
                "only %d of %d pictures are for %s, because %d have duplicates: a group of "
                "duplicates stays together, and most groups go to training",
                *(count, len(splits), name, duplicates),
            )
