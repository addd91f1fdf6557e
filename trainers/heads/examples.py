"""What heads learn from, and what they are judged on: validation pictures, or folds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

FOLDS = 5
"""Of cross-validation (Breiman and Spector 1992 advise five to ten)."""
LEAST_VALIDATION = 100
"""Validation pictures below which heads are cross-validated. With MobileNetV2 0.35 and 10, 20, 40,
80, 120 flowers a class, 15% of them for validation, the accuracy on these was off that on many test
pictures by 12.2, 8.1, 5.9, 4.1, 3.0 points (root mean square of 6 splits), the cross-validated one
by 8.2, 5.1, 4.8, 1.5, 1.5."""


@dataclass(frozen=True)
class Examples:
    """What a head learns from, and what it is judged on.

    Attributes:
        train: (n, views, D) embeddings; labels (n,) and weights (n,) of the pictures.
        validation: (m, D) embeddings; validation_labels (m,).
        classes: number of classes.
        pool: where heads are to be cross-validated; None where the validation pictures judge them.
    """

    train: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]
    validation: NDArray[np.float32]
    validation_labels: NDArray[np.int64]
    classes: int
    pool: Pool | None = None

    @property
    def judges(self) -> Iterator[Examples]:
        """Examples with the pictures that judge: folds, or these examples themselves."""
        return iter((self,)) if self.pool is None else self.pool.folds()


@dataclass(frozen=True)
class Pool:
    """Pictures that take turns at judging: those for training and those for validation, or some.

    Attributes:
        embeddings: (N, views, D); labels (N,), 0 to `classes` - 1, and weights (N,) of the
            pictures.
        parts: rows to learn from and rows to judge by, for each fold; none where no class has two
            groups of pictures.
    """

    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]
    parts: tuple[tuple[Rows, Rows], ...]
    classes: int

    def folds(self) -> Iterator[Examples]:
        for learned, held in self.parts:
            yield Examples(
                self.embeddings[learned],
                self.labels[learned],
                self.weights[learned],
                self.embeddings[held, 0],
                self.labels[held],
                self.classes,
            )


def sample(labels: Rows, groups: Rows, draws: NDArray[np.float64], most: int) -> Rows:
    """Rows of groups, of every class as many as of any other, at most `most` pictures.

    Small groups are taken whole. Where not all fit, a large one, such as a film of 1,500 frames,
    gives some of its rows, at even distances: so that it neither takes the place of the others nor
    is missing, and each class has room for as many groups as there are folds.

    Args:
        labels, groups: (N,) of the pictures; draws: (N,) 0 to 1, by content: the lowest come first.
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    given = np.minimum(sizes, _most_of_a_group(sizes, len(np.unique(labels)), most))
    order, of = _in_order(labels, group, draws)
    rank = np.empty(len(sizes), np.int64)  # of a group among those of its class
    rank[order] = np.arange(len(sizes)) - np.searchsorted(of[order], of[order])
    order = np.argsort(rank, kind="stable")
    is_in = np.zeros(len(sizes), np.bool_)
    is_in[order] = np.cumsum(given[order]) <= most
    rows = np.argsort(group, kind="stable")
    place = np.empty_like(rows)  # of a row among those of its group
    place[rows] = np.arange(len(rows)) - np.searchsorted(group[rows], group[rows])
    share, size = given[group], sizes[group]
    is_given = place * share // size > (place - 1) * share // size
    return np.flatnonzero(is_in[group] & is_given)


def _most_of_a_group(sizes: Rows, classes: int, most: int) -> int:
    """Rows that a group gives at most: so many that all groups have room, or each fold one."""
    lengths = range(1, int(sizes.max(initial=0)) + 1)
    fitting = bisect_right(lengths, most, key=lambda length: np.minimum(sizes, length).sum())
    return max(fitting, most // (FOLDS * max(1, classes)), 1)


def parts(
    labels: Rows, groups: Rows, draws: NDArray[np.float64], folds: int = FOLDS
) -> tuple[tuple[Rows, Rows], ...]:
    """Deal pictures out to folds, so that groups stay together and classes are even.

    A group whose absence would leave one of its classes without any picture to learn from is never
    held out.

    Args:
        labels, groups: (N,) of the pictures; draws: (N,) 0 to 1, by content.

    Returns:
        Rows to learn from and rows to judge by, for each fold that judges any.
    """
    _, group = np.unique(groups, return_inverse=True)
    # Like cards: groups of one class lie together, so they go to folds in turn.
    order, _ = _in_order(labels, group, draws)
    fold_of_group = np.empty(len(order), np.int64)
    fold_of_group[order] = np.arange(len(order)) % folds
    fold = fold_of_group[group]
    dealt = []
    for at in range(folds):
        is_needed = ~np.isin(labels, labels[fold != at])
        stays = np.isin(group, group[is_needed])
        is_held = (fold == at) & ~stays
        if is_held.any():
            dealt.append((np.flatnonzero(~is_held), np.flatnonzero(is_held)))
    return tuple(dealt)


def _in_order(labels: Rows, group: Rows, draws: NDArray[np.float64]) -> tuple[Rows, Rows]:
    """The groups by class and highest draw, and the first class of each."""
    count = group.max(initial=-1) + 1
    highest, of = np.zeros(count), np.full(count, labels.max(initial=0))
    np.maximum.at(highest, group, draws)
    np.minimum.at(of, group, labels)
    return np.lexsort((highest, of)), of
