"""Average precision: how well probabilities rank the pictures with a label before the others.

It needs no threshold. It is the area under the curve of precision by recall.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_average_precision(
    probabilities: NDArray[np.floating], truth: NDArray[np.bool_]
) -> float | None:
    """Return the mean average precision of the labels in use; None if no picture has a label.

    Args:
        probabilities, truth: (n, labels).
    """
    has_pictures = truth.any(axis=0)
    if not has_pictures.any():
        return None
    figures = average_precisions(probabilities, truth, np.ones(len(truth)))
    return float(figures[has_pictures].mean())


def average_precisions(
    probabilities: NDArray[np.floating], truth: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the average precision (labels,), as scikit-learn defines it; 0 without pictures.

    Args:
        probabilities, truth: (n, labels).
        weights: (n,) the weight of each picture.
    """
    figures = np.zeros(truth.shape[1])
    for label in range(len(figures) if len(truth) else 0):
        order = np.argsort(-probabilities[:, label], kind="stable")
        scores, own = probabilities[order, label], weights[order]
        hits = own * truth[order, label]
        last = np.searchsorted(-scores, -scores, side="right") - 1  # of equal scores
        precision = np.cumsum(hits)[last] / np.maximum(np.cumsum(own)[last], 1e-12)
        figures[label] = (hits * precision).sum() / max(hits.sum(), 1e-12)
    return figures
