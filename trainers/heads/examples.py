"""The embeddings that heads are trained and validated on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.heads.folds import Fold

MIN_VALIDATION_PICTURES = 100
"""With fewer validation pictures, heads are cross-validated, to measure their accuracy reliably."""


@dataclass(frozen=True)
class Examples:
    """The embeddings that a head is trained on, and those that it is validated on.

    Attributes:
        train: embeddings (n, views, D) of the training pictures.
        labels: (n,) the class index of each training picture.
        weights: (n,) the weight of each training picture in the loss.
        validation: embeddings (m, D) of the validation pictures.
        validation_labels: (m,) the class index of each validation picture.
        classes: number of classes.
        pool: the pictures for cross-validation; None if there are enough validation pictures.
    """

    train: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]
    validation: NDArray[np.float32]
    validation_labels: NDArray[np.int64]
    classes: int
    pool: Pool | None = None

    def splits(self) -> Iterator[Examples]:
        """Yield the examples of each fold. Without cross-validation, yield only this object."""
        return iter((self,)) if self.pool is None else self.pool.splits()


@dataclass(frozen=True)
class Pool:
    """The pictures for cross-validation: all training and validation pictures, or a sample of them.

    Attributes:
        embeddings: embeddings (N, views, D) of the pictures.
        labels: (N,) the class index of each picture, 0 to `classes` - 1.
        weights: (N,) the weight of each picture in the loss.
        folds: the folds; empty if no class has two groups. A group is a set of pictures that must
            stay in one fold, such as duplicates. Most groups are single pictures.
        classes: number of classes.
    """

    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]
    folds: tuple[Fold, ...]
    classes: int

    def splits(self) -> Iterator[Examples]:
        """Yield the examples of each fold."""
        for train, validation in self.folds:
            yield Examples(
                self.embeddings[train],
                self.labels[train],
                self.weights[train],
                self.embeddings[validation, 0],
                self.labels[validation],
                self.classes,
            )
