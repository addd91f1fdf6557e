"""Samples pictures for cross-validation, and splits them into folds.

A group is a set of pictures that must stay in one fold, such as duplicates or the frames of one
film. Most groups are single pictures.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

FOLDS = 5
"""Number of folds of cross-validation. Breiman and Spector (1992) advise five to ten."""


class Sample(NamedTuple):
    """Pictures that were sampled from a dataset.

    Attributes:
        rows: (N,) the row of each picture in the dataset.
        groups: (N,) the group of each picture, as a number.
        draws: (N,) a pseudo-random number from 0 to 1 for each picture.
    """

    rows: Rows
    groups: Rows
    draws: NDArray[np.float64]


class Fold(NamedTuple):
    """The rows of the training pictures and of the validation pictures of one fold."""

    train: Rows
    validation: Rows


def sample_rows(labels: Rows, groups: Rows, draws: NDArray[np.float64], max_pictures: int) -> Rows:
    """Sample at most `max_pictures` pictures, with about the same number of groups of each class.

    Small groups are sampled as a whole or not at all. If there are more pictures than
    `max_pictures`, a large group, such as 1,500 frames of one film, is thinned out to evenly spaced
    pictures. This leaves room for other groups: each class can have at least one group per fold.

    Args:
        labels: (N,) the class index of each picture.
        groups: (N,) the group of each picture, as a number.
        draws: (N,) a pseudo-random number from 0 to 1 for each picture. It must not depend on the
            order of the pictures. The groups of a class are sampled in ascending order of the
            highest number of their pictures.

    Returns:
        The sampled rows, in ascending order.
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    max_rows = _max_rows_of_group(sizes, len(np.unique(labels)), max_pictures)
    quotas = np.minimum(sizes, max_rows)
    order, first_labels = _sort_groups(labels, group, draws)
    rank = np.empty(len(sizes), np.int64)  # of each group among the groups of its class
    sorted_labels = first_labels[order]
    rank[order] = np.arange(len(sizes)) - np.searchsorted(sorted_labels, sorted_labels)
    order = np.argsort(rank, kind="stable")
    is_group_taken = np.zeros(len(sizes), np.bool_)
    is_group_taken[order] = np.cumsum(quotas[order]) <= max_pictures
    rows = np.argsort(group, kind="stable")
    place = np.empty_like(rows)  # of each row among the rows of its group
    place[rows] = np.arange(len(rows)) - np.searchsorted(group[rows], group[rows])
    quota, size = quotas[group], sizes[group]
    is_row_taken = place * quota // size > (place - 1) * quota // size
    return np.flatnonzero(is_group_taken[group] & is_row_taken)


def _max_rows_of_group(sizes: Rows, classes: int, max_pictures: int) -> int:
    """Return the largest number of rows that may be sampled from one group.

    This limit is as high as possible while all groups still fit into the sample. But it is never
    below `max_pictures // (FOLDS * classes)`, which leaves each class room for one group per fold,
    and never below 1.

    Args:
        sizes: the number of rows of each group.
        classes: number of classes.
        max_pictures: the largest number of rows in the sample.
    """
    limits = range(1, int(sizes.max(initial=0)) + 1)
    fitting = bisect_right(limits, max_pictures, key=lambda limit: np.minimum(sizes, limit).sum())
    return max(fitting, max_pictures // (FOLDS * max(1, classes)), 1)


def take_share(labels: Rows, groups: Rows, draws: NDArray[np.float64], share: float) -> Rows:
    """Take a share of the groups of every class, rounded up, so that no class is left out.

    Args:
        labels: (N,) the class index of each picture.
        groups: (N,) the group of each picture, as a number.
        draws: (N,) a number from 0 to 1 for each picture. The groups of a class are taken in
            ascending order of the highest number of their pictures.
        share: the share, 0 to 1.

    Returns:
        The rows of the pictures of these groups, in ascending order.
    """
    _, group = np.unique(groups, return_inverse=True)
    highest = np.zeros(group.max(initial=-1) + 1)
    np.maximum.at(highest, group, draws)
    is_taken = np.zeros(len(highest), np.bool_)
    for label in np.unique(labels):
        own = np.unique(group[labels == label])
        ordered = own[np.argsort(highest[own], kind="stable")]
        is_taken[ordered[: math.ceil(share * len(own))]] = True
    return np.flatnonzero(is_taken[group])


def split_into_folds(
    labels: Rows, groups: Rows, draws: NDArray[np.float64], count: int = FOLDS
) -> tuple[Fold, ...]:
    """Assign groups to folds, with about the same number of groups of each class in every fold.

    A group is never held out if one of its classes would then have no training pictures.

    Args:
        labels: (N,) the class index of each picture.
        groups: (N,) the group of each picture, as a number.
        draws: (N,) a pseudo-random number from 0 to 1 for each picture, as for `sample_rows`.
        count: number of folds.

    Returns:
        The folds, without those that would have no validation pictures.
    """
    _, group = np.unique(groups, return_inverse=True)
    # In this order, groups of one class are adjacent, so they are assigned to the folds in turn.
    order, _ = _sort_groups(labels, group, draws)
    fold_of_group = np.empty(len(order), np.int64)
    fold_of_group[order] = np.arange(len(order)) % count
    fold_of_row = fold_of_group[group]
    folds = []
    for number in range(count):
        is_needed = ~np.isin(labels, labels[fold_of_row != number])
        stays = np.isin(group, group[is_needed])
        is_held_out = (fold_of_row == number) & ~stays
        if is_held_out.any():
            folds.append(Fold(np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)))
    return tuple(folds)


def _sort_groups(labels: Rows, group: Rows, draws: NDArray[np.float64]) -> tuple[Rows, Rows]:
    """Sort the groups by their lowest class index, then by the highest of their `draws`.

    Returns:
        The sorted numbers of the groups, and the lowest class index of group 0, group 1 and so on.
    """
    count = group.max(initial=-1) + 1
    highest, first_labels = np.zeros(count), np.full(count, labels.max(initial=0))
    np.maximum.at(highest, group, draws)
    np.minimum.at(first_labels, group, labels)
    return np.lexsort((highest, first_labels)), first_labels
