"""Drift: whether the last pictures differ from those with which the model was trained.

Four differences are measured on the last pictures. Each is shown as its ratio to a limit:

- embedding: how far the mean embedding is from that of training pictures. The embedding of each
  picture is compared with the mean of its predicted class, so other class shares are no drift.
- score: how far the mean score is below that of validation pictures.
- class: how much the shares of the predicted classes differ from those of the training pictures.
- novelty: the share of pictures that are not known.

Embedding and class are chi-square statistics divided by their degrees of freedom. By chance this is
1 on average, with the standard deviation sqrt(2 / degrees). docs/decisions/serving.md says how the
limits were chosen.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.engine.classification import KNOWN_SHARE, Classification
from service.monitoring.drift_reference import DriftReference

WINDOW: Final = 100
"""The last pictures that are compared with the reference."""
INTERVAL: Final = 10
"""The ratios are computed again after this number of pictures."""
KINDS: Final = ("embedding", "score", "class", "novelty")
DEVIATIONS: Final = 20
"""Limit of embedding and class: 1 plus this number of standard deviations."""
STANDARD_ERRORS: Final = 6
"""Limit of the score: the mean score is lower by this number of standard errors."""
UNKNOWN_SHARE: Final = 0.3
"""Limit of the novelty. Of pictures like the training pictures, about 5% are not known."""


class DriftMonitor:
    """Compares the last WINDOW pictures that a model classified with its reference.

    Several threads may call an instance at the same time.

    Args:
        reference: the reference in the model's bundle.
        show: is called with a kind, one of KINDS, and its ratio: 0 in the beginning, then the ratio
            to the limit after every INTERVAL pictures, but not before there are WINDOW pictures.
    """

    def __init__(self, reference: DriftReference, show: Callable[[str, float], None]) -> None:
        self._reference, self._show = reference, show
        self._lock = threading.Lock()
        self._count = 0
        self._is_closed = False
        # The last pictures in any order: each new picture replaces the oldest one.
        self._embeddings = np.zeros((WINDOW, len(reference.projection)), np.float32)
        self._scores = np.zeros(WINDOW, np.float32)
        self._classes = np.zeros(WINDOW, np.int64)
        self._unknown = np.zeros(WINDOW, np.bool_)
        self._show_zeros()

    def add(self, classification: Classification) -> None:
        """Add a picture, unless the monitor is closed."""
        probabilities, embedding, novelty = classification
        with self._lock:
            if self._is_closed:
                return
            row = self._count % WINDOW
            self._count += 1
            best = int(probabilities.argmax())
            self._embeddings[row] = embedding
            self._scores[row], self._classes[row] = probabilities[best], best
            self._unknown[row] = (novelty or 0) > KNOWN_SHARE
            if self._count >= WINDOW and self._count % INTERVAL == 0:
                for kind, ratio in zip(KINDS, self._ratios(), strict=True):
                    self._show(kind, ratio)

    def close(self) -> None:
        """Show 0 for all kinds from now on, because the model is no longer served."""
        with self._lock:
            self._is_closed = True
            self._show_zeros()

    def _show_zeros(self) -> None:
        for kind in KINDS:
            self._show(kind, 0.0)

    def _ratios(self) -> Iterator[float]:
        reference, classes = self._reference, len(self._reference.class_shares)
        shares = np.bincount(self._classes, minlength=classes) / WINDOW
        yield self._embedding_distance(shares) / _limit(reference.projection.shape[1])
        drop = reference.score_mean - self._scores.mean()
        error = reference.score_deviation * math.sqrt(1 / WINDOW + 1 / reference.score_count)
        yield max(0.0, float(drop / error)) / STANDARD_ERRORS
        yield self._class_distance(shares) / _limit(classes - 1)
        yield float(self._unknown.mean()) / UNKNOWN_SHARE

    def _embedding_distance(self, shares: NDArray[np.float64]) -> float:
        reference = self._reference
        mean = self._embeddings.mean(axis=0)
        # Not `@`: the threads of BLAS keep cores busy for some ms after each product.
        projected = np.einsum("d,dr->r", mean, reference.projection)
        expected = np.einsum("c,cr->r", shares, reference.class_means)
        # The variances of the mean of the pictures, and of the means of the classes.
        variance = 1 / WINDOW + (shares**2 / reference.class_counts).sum()
        return float(((projected - expected) ** 2).mean() / variance)

    def _class_distance(self, shares: NDArray[np.float64]) -> float:
        reference = self._reference
        expected = reference.class_shares
        # A class that is rarer than one picture in the window counts as one.
        differences = (shares - expected) ** 2 / np.maximum(expected, 1 / WINDOW)
        variance = 1 / WINDOW + 1 / reference.class_counts.sum()
        return float(differences.sum() / (len(shares) - 1) / variance)


def _limit(degrees: int) -> float:
    return 1 + DEVIATIONS * math.sqrt(2 / degrees)
