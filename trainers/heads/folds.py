"""Folds of cross-validation, and the pictures that take part. Groups of pictures stay together."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

FOLDS = 5
"""Of cross-validation (Breiman and Spector 1992 advise five to ten)."""


class Fold(NamedTuple):
    """The rows to learn from, and the rows to validate on."""

    train: Rows
    validation: Rows


def sample_rows(labels: Rows, groups: Rows, draws: NDArray[np.float64], max_pictures: int) -> Rows:
    """Return rows of at most `max_pictures` pictures, with as many groups of each class.

    Small groups are taken as a whole. If not all groups fit, a large one, such as a film of 1,500
    frames, gives only some of its rows, at even distances: it neither displaces the others nor is
    missing, and each class has room for as many groups as there are folds.

    Args:
        labels, groups: (N,) of the pictures.
        draws: (N,) from 0 to 1, by content; the lowest come first.
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    max_rows = _max_rows_of_group(sizes, len(np.unique(labels)), max_pictures)
    quotas = np.minimum(sizes, max_rows)
    order, first_labels = _sort_groups(labels, group, draws)
    rank = np.empty(len(sizes), np.int64)  # of a group among those of its class
    sorted_labels = first_labels[order]
    rank[order] = np.arange(len(sizes)) - np.searchsorted(sorted_labels, sorted_labels)
    order = np.argsort(rank, kind="stable")
    is_group_taken = np.zeros(len(sizes), np.bool_)
    is_group_taken[order] = np.cumsum(quotas[order]) <= max_pictures
    rows = np.argsort(group, kind="stable")
    place = np.empty_like(rows)  # of a row among those of its group
    place[rows] = np.arange(len(rows)) - np.searchsorted(group[rows], group[rows])
    quota, size = quotas[group], sizes[group]
    is_row_taken = place * quota // size > (place - 1) * quota // size
    return np.flatnonzero(is_group_taken[group] & is_row_taken)


def _max_rows_of_group(sizes: Rows, classes: int, max_pictures: int) -> int:
    """The most rows that a group gives, so that all groups fit, or one of each class in a fold."""
    limits = range(1, int(sizes.max(initial=0)) + 1)
    fitting = bisect_right(limits, max_pictures, key=lambda limit: np.minimum(sizes, limit).sum())
    return max(fitting, max_pictures // (FOLDS * max(1, classes)), 1)


def split_into_folds(
    labels: Rows, groups: Rows, draws: NDArray[np.float64], count: int = FOLDS
) -> tuple[Fold, ...]:
    """Assign groups to folds, so that every fold has about as many groups of each class.

    A group is never held out if one of its classes would have no picture left to learn from.

    Args:
        labels, groups: (N,) of the pictures.
        draws: (N,) from 0 to 1, by content.

    Returns:
        The folds that have pictures to validate on.
    """
    _, group = np.unique(groups, return_inverse=True)
    # Groups are dealt like cards: those of one class are adjacent, so they go to folds in turn.
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
    """Return the groups sorted by their first class and highest draw, and the class of each."""
    count = group.max(initial=-1) + 1
    highest, first_labels = np.zeros(count), np.full(count, labels.max(initial=0))
    np.maximum.at(highest, group, draws)
    np.minimum.at(first_labels, group, labels)
    return np.lexsort((highest, first_labels)), first_labels
