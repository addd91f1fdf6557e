"""Splits a dataset into training, validation and test pictures, by hashes of content or source."""

from __future__ import annotations

import csv
import difflib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.dataset import grouping
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import SPLITS, format_names, normalize
from trainers.progress import log

HELD_OUT_SHARE = 0.15
"""Share of all pictures that the test split gets. The validation split gets the same share."""

MAX_UNEVENNESS = 1 / 3
"""A class is reported if its number of validation or test pictures differs from its share by more
than this part of the share, and by MIN_DIFFERENCE pictures or more."""
MIN_DIFFERENCE = 5


def split(dataset: Dataset, seed: int) -> Dataset:
    """Assign every picture to a split; test and validation folders stay as they are.

    Each of the other pictures, in train/ or in no split folder, gets a number from 0 to 1: a hash
    of the seed and of the content of the file. So file names and their order do not matter.
    Pictures with numbers below 0.15 go to the test, those below 0.30 to validation, and the rest to
    training. (If only one of test and validation has a folder, pictures with numbers below 0.15 go
    to the other; if both have one, all go to training.)

    Duplicates share a split: the number of a group of duplicates is the highest of its members. So
    an added picture can change only the splits of its own duplicates, and only towards training.
    Pictures of one source (--group) share a split, too: their number is a hash of the seed and of
    the name of the source.

    If a class would have no picture in a split, the split gets the picture or group with the number
    nearest to its range. (A class of two pictures has one in training and one in the test; a class
    of three or more is in all splits.) Only in a class with such an exception can an added picture
    move another picture to the test. This happens if the added picture joins two groups, or is the
    first with a number above 0.30.

    If pictures have several labels, the rarest label of a picture counts as its class here.

    If a group has pictures of several classes, these rules may give several splits. The group goes
    to the one that is nearest to training, in the order test, validation, training.

    Args:
        dataset: the pictures.
        seed: part of each hash; another seed gives other splits.

    Raises:
        DataError: a class has no training picture, or no class has a test picture.
    """
    given = set(dataset.splits) - {"", "train"}
    missing = [name for name in ("test", "validation") if name not in given]
    splits = np.array(dataset.splits, dtype=object)
    free = np.flatnonzero(np.isin(splits, ["", "train"]))
    counts = dataset.count_classes(free)
    for count, label in zip(counts, dataset.classes, strict=True):
        if not count:
            raise DataError(
                f"class `{label}` of {dataset.title} has no training pictures, but every class "
                f"needs some{_suggest_rename(dataset, label, set(np.flatnonzero(counts)))}"
            )
    names = np.array([*missing, "train"], dtype=object)
    splits[free] = names[_draw_splits(dataset, free, seed, len(missing))]
    _require_training_pictures(dataset, splits)
    if "test" not in splits:
        coarse = grouping.explain_coarse_sources(dataset)
        raise DataError(
            f"{dataset.title}: no picture is left for the test: "
            + (coarse and f"{coarse}; or ")
            + f"add pictures until a class has at least 2 different "
            f"{'sources (--group)' if dataset.sources else 'pictures'} for training, or name test "
            "pictures, by a folder test/ or in the column split of a table"
        )
    return dataset.with_splits(tuple(splits))


def _require_training_pictures(dataset: Dataset, splits: NDArray[np.object_]) -> None:
    """Raise DataError if all pictures with a label were drawn for validation and test.

    This can only happen if each of them has a rarer label, too.
    """
    counts = dataset.count_classes(np.flatnonzero(splits == "train"))
    if missing := [
        label for label, count in zip(dataset.classes, counts, strict=True) if not count
    ]:
        raise DataError(
            f"{dataset.title}: no picture with the label `{missing[0]}` is left for training: add "
            "pictures with this label, or choose another --seed"
        )


def _suggest_rename(dataset: Dataset, label: str, trained: set[int]) -> str:
    """Return advice for a class without training pictures, such as to correct its name."""
    others = {normalize(dataset.classes[index]): dataset.classes[index] for index in trained}
    close = difflib.get_close_matches(normalize(label), others, n=1, cutoff=0.8)
    if not close:
        return "; add some, or move the folder away if its pictures are not labelled"
    other = others[close[0]]
    return (
        f"; train/ has a similar class `{other}` ({other!a}, not {label!a}): rename one of them if "
        "they are the same class"
    )


def hash_fractions(keys: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Hash each key and the seed to a number from 0 to 1, uniformly distributed; (N,) float64."""
    hashes = [hashlib.sha256(f"{seed}:{key}".encode()).digest() for key in keys]
    return np.array([int.from_bytes(digest[:8]) / 2**64 for digest in hashes])


def _draw_splits(
    dataset: Dataset, free: NDArray[np.int64], seed: int, train_index: int
) -> NDArray[np.int64]:
    """Return the index of the split of each picture in `free`.

    Args:
        dataset: the pictures.
        free: (M,) rows of the pictures to assign.
        seed: the seed of the hashes.
        train_index: index of the training split, the last of the splits.

    Returns:
        (M,) int64, 0 to `train_index`.
    """
    _, group = np.unique(grouping.merge_groups(dataset)[free], return_inverse=True)
    keys = grouping.split_keys(dataset)
    draws = np.zeros(group.max() + 1)  # one per group
    np.maximum.at(draws, group, hash_fractions([keys[row] for row in free], seed))
    drawn = np.zeros(len(draws), np.int64)
    for label in np.unique(dataset.labels[free]):
        own = np.unique(group[dataset.labels[free] == label])
        own = own[np.argsort(draws[own])]
        held_out = min(train_index, len(own) - 1)  # splits that get pictures, besides training
        ends = [0]  # end of each split in the sorted draws: at its share, but no split is empty
        for index in range(held_out):
            natural = np.searchsorted(draws[own], HELD_OUT_SHARE * (index + 1))
            ends.append(int(np.clip(natural, ends[-1] + 1, len(own) - held_out + index)))
        split_index = np.searchsorted(ends[1:], np.arange(len(own)), side="right")
        split_index[split_index == held_out] = train_index
        drawn[own] = np.maximum(drawn[own], split_index)
    return drawn[group]


def write_csv(dataset: Dataset, path: Path) -> None:
    """Write a CSV file with path, SHA-256, class and split of every picture.

    With --group, it also has the source of every picture. Paths are relative to the data folder.
    """
    columns = {
        "path": dataset.paths,
        "sha256": dataset.digests,
        "class": dataset.names(np.arange(len(dataset.paths))),
        "split": dataset.splits,
    }
    if dataset.sources:
        columns["group"] = dataset.sources
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def describe(dataset: Dataset) -> str:
    """Describe the numbers of pictures, of classes, and of pictures per split, in one line.

    It names the classes whose share of a split is clearly smaller or larger than that of others.
    """
    counts = ", ".join(f"{len(dataset.rows(name))} {name}" for name in SPLITS)
    uneven = [text for _, text in sorted(_uneven_classes(dataset), reverse=True)]
    return f"{len(dataset.paths)} pictures of {len(dataset.classes)} classes: {counts}" + (
        f"; unevenly divided: {format_names(uneven, 3)}" if uneven else ""
    )


def _uneven_classes(dataset: Dataset) -> Iterator[tuple[float, str]]:
    """Yield the classes with too few or too many pictures for validation or the test.

    Yields:
        How uneven it is, as a share of the expected number; and a text such as
        "`cat` has 16 validation pictures (its share is 30)".
    """
    sizes = np.bincount(dataset.labels, minlength=len(dataset.classes))
    for name in ("validation", "test"):
        counts = np.bincount(dataset.labels[dataset.rows(name)], minlength=len(sizes))
        expected = sizes * counts.sum() / sizes.sum()
        for label, (count, share) in enumerate(zip(counts, expected, strict=True)):
            difference = abs(count - share)
            if difference > MAX_UNEVENNESS * share and difference >= MIN_DIFFERENCE:
                text = f"`{dataset.classes[label]}` has {count} {name} pictures"
                yield difference / share, f"{text} (its share is {share:.0f})"


def log_drawn_splits(before: Dataset, dataset: Dataset) -> None:
    """Log which splits were drawn although the data has split folders; warn if they are small.

    Args:
        before: the dataset with the splits that its folders name.
        dataset: the same dataset with its final splits.
    """
    _, sizes = np.unique(dataset.duplicate_groups, return_counts=True)
    duplicates = int(sizes[sizes > 1].sum())
    pictures = len(dataset.paths)
    for name in ("test", "validation"):
        if name in before.splits:
            continue
        count = len(dataset.rows(name))
        if "train" in before.splits:
            log.info(
                "the data names no pictures for %s: a part of those for training is used (number "
                "of pictures: %d)",
                name,
                count,
            )
        if duplicates > HELD_OUT_SHARE * pictures and count < HELD_OUT_SHARE / 2 * pictures:
            log.warning(
                "the %s split gets only %d of %d pictures: %d pictures have duplicates, duplicates "
                "must stay in the same split, and most groups of duplicates go to training. To get "
                "larger splits, delete the duplicates",
                *(name, count, pictures, duplicates),
            )
