"""Embeddings of training pictures. The service compares new pictures with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.dataset.dataset import Dataset

MAX_PICTURES = 4000
"""With more pictures, the files in the bundle would be larger, and an answer would take longer."""

Embed = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Positions (n,) in the training split -> the embeddings (n, D) that the exported model computes,
up to rounding."""


@dataclass(frozen=True)
class EmbeddedPictures:
    """Pictures of a dataset. All arrays have the same order.

    Attributes:
        rows: (n,) their rows in the dataset.
        labels: (n,) indexes of their classes.
        embeddings: (n, D) float32.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    embeddings: NDArray[np.float32]

    def sample(self, classes: NDArray[np.int64], max_pictures: int) -> EmbeddedPictures:
        """Return at most `max_pictures` pictures of the given classes, about as many of each."""
        (kept,) = np.nonzero(np.isin(self.labels, classes))
        kept = kept[choose_pictures(self.labels[kept], max_pictures)]
        return EmbeddedPictures(self.rows[kept], self.labels[kept], self.embeddings[kept])


def embed_training_pictures(dataset: Dataset, embed: Embed) -> EmbeddedPictures:
    """Embed at most MAX_PICTURES training pictures, with about the same number of each class."""
    rows = dataset.rows("train")
    positions = choose_pictures(dataset.labels[rows], MAX_PICTURES)
    rows = rows[positions]
    return EmbeddedPictures(rows, dataset.labels[rows], embed(positions))


def choose_pictures(labels: NDArray[np.int64], max_pictures: int) -> NDArray[np.int64]:
    """Return the positions of at most `max_pictures` pictures, about the same number of each class.

    Args:
        labels: (N,) the class index of each training picture.

    Returns:
        Positions in ascending order.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[np.argsort(rank, kind="stable")[:max_pictures]])
