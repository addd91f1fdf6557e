"""Chooses the threshold of each label: the probability from which on a picture has the label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIN_PICTURES = 10
"""A label with fewer held-out pictures gets DEFAULT: its best threshold would be chance."""
DEFAULT = 0.5


def fit_thresholds(
    probabilities: NDArray[np.float32], targets: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the threshold (labels,) of each label that gives the highest F1 score.

    Args:
        probabilities: (n, labels), of pictures that the model was not trained on.
        targets: (n, labels) whether each picture has each label.
    """
    pairs = zip(probabilities.T, targets.T, strict=True)
    return np.array([_fit_threshold(*pair) for pair in pairs], np.float32)


def _fit_threshold(scores: NDArray[np.float32], is_true: NDArray[np.bool_]) -> float:
    """Return the threshold of one label; of several with the same F1, the one nearest to DEFAULT.

    Thresholds lie in the middle between two neighbouring scores, so that new scores near these
    fall on the same side.
    """
    positives = int(is_true.sum())
    if positives < MIN_PICTURES:
        return DEFAULT
    order = np.argsort(-scores, kind="stable")
    ordered = np.append(scores[order].astype(np.float64), 0.0)
    answered = np.arange(1, len(scores) + 1)
    f1 = 2 * np.cumsum(is_true[order]) / (answered + positives)
    f1[ordered[:-1] == ordered[1:]] = -1  # equal scores cannot be told apart
    middles = (ordered[:-1] + ordered[1:]) / 2
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(middles[best[np.abs(middles[best] - DEFAULT).argmin()]])
