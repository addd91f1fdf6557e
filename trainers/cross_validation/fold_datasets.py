"""Splits a dataset into folds; each fold is the dataset with another part of it as the test."""

from __future__ import annotations

import numpy as np

from trainers.dataset import grouping
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import format_names
from trainers.dataset.splits import splitting
from trainers.heads.folds import split_into_folds
from trainers.progress import log


def make_folds(dataset: Dataset, count: int | None, seed: int) -> tuple[Dataset, ...]:
    """Return the dataset once per fold, each time with other test pictures.

    All pictures take part, whatever their split is. Each class has about the same share of every
    fold. Duplicates and pictures of one source (--group) are in one fold. The validation pictures
    of a fold are drawn from its other pictures as usual. A picture is never tested if a class would
    then have no training picture; all others are tested once.

    Args:
        dataset: the pictures.
        count: number of folds; None gives no folds.
        seed: part of the hashes that order the pictures, as for `splitting.split`.

    Raises:
        DataError: a fold would have no test picture.
    """
    if count is None:
        return ()
    keys = grouping.split_keys(dataset)
    draws = splitting.hash_fractions(keys, seed)
    groups = grouping.merge_groups(dataset)
    folds = split_into_folds(dataset.labels, groups, draws, count)
    if len(folds) < count:
        raise DataError(
            f"--folds {count}: {dataset.title} has too few pictures or sources for {count} folds; "
            f"{f'use --folds {len(folds)}, or ' if len(folds) > 1 else ''}add pictures"
        )
    _warn_about_small_classes(dataset, count)
    datasets = []
    for fold in folds:
        splits = np.full(len(dataset.paths), "", dtype=object)
        splits[fold.validation] = "test"
        datasets.append(splitting.split(dataset.with_splits(tuple(splits)), seed))
    return tuple(datasets)


def _warn_about_small_classes(dataset: Dataset, count: int) -> None:
    groups = grouping.merge_groups(dataset)
    small = [
        f"`{label}`"
        for index, label in enumerate(dataset.classes)
        if len(np.unique(groups[dataset.labels == index])) < count
    ]
    if small:
        log.warning(
            "--folds %d: some folds have no test picture of %s, which has fewer different pictures "
            "or sources than there are folds",
            *(count, format_names(small)),
        )
