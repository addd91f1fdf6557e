"""What heads learn from, and what they are validated on: validation pictures, or folds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.heads.folds import Fold

MIN_VALIDATION_PICTURES = 100
"""With fewer validation pictures, heads are cross-validated: their accuracy is too uncertain."""


@dataclass(frozen=True)
class Examples:
    """What a head learns from, and what it is validated on.

    Attributes:
        train: embeddings (n, views, D); labels (n,) and weights (n,) of the pictures.
        validation: embeddings (m, D); validation_labels (m,).
        classes: number of classes.
        pool: the pictures for cross-validation; None if the validation pictures are enough.
    """

    train: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]
    validation: NDArray[np.float32]
    validation_labels: NDArray[np.int64]
    classes: int
    pool: Pool | None = None

    def splits(self) -> Iterator[Examples]:
        """Yield the examples of each fold, or these examples if there is no cross-validation."""
        return iter((self,)) if self.pool is None else self.pool.splits()


@dataclass(frozen=True)
class Pool:
    """The pictures of a cross-validation: those for training and for validation, or some of them.

    Attributes:
        embeddings: (N, views, D); labels (N,), 0 to `classes` - 1, and weights (N,) of the
            pictures.
        folds: empty if no class has two groups of pictures.
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
