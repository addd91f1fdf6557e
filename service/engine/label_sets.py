"""Sets of labels that contain the true class with a chosen confidence.

This is conformal prediction: the probabilities that a model gave to the true classes of pictures
that it was not trained on show how low the probability of a true class may be (Sadinle, Lei and
Wasserman 2019, "Least Ambiguous Set-Valued Classifiers With Bounded Error Levels").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

DEFAULT_CONFIDENCE: Final = 0.9
"""The default of GRAFT_CONFIDENCE."""


def lowest_score(true_scores: Sequence[float], confidence: float) -> float | None:
    """Return the lowest probability of a label in a set; None if there are too few pictures.

    Of new pictures like those of `true_scores`, about this share has a true class with such a
    probability. A confidence of 0.9 needs 9 pictures, and 0.99 needs 99.

    Args:
        true_scores: the probabilities of the true classes of some pictures, in ascending order.
        confidence: 0 to 1.
    """
    rank = math.floor((len(true_scores) + 1) * (1 - confidence) + 1e-9)
    return true_scores[min(rank, len(true_scores)) - 1] if rank and len(true_scores) else None


def missing_sets_warning(true_scores: Sequence[float] | None, confidence: float) -> str:
    """Return a warning if there are too few validation pictures for this confidence, otherwise "".

    Args:
        true_scores: as for `lowest_score`; None for a model without sets, as older ones.
        confidence: the value of GRAFT_CONFIDENCE; 0 = no sets are wanted.
    """
    if true_scores is None or not confidence or lowest_score(true_scores, confidence) is not None:
        return ""
    return (
        f"answers have no set of labels: GRAFT_CONFIDENCE={confidence:g} needs more validation "
        f"pictures than the {len(true_scores)} of this model"
    )


def in_set(
    probabilities: NDArray[np.float32], lowest: float, confidence: float
) -> NDArray[np.bool_]:
    """Return which labels are in the sets of some pictures.

    A set has the labels with a probability of at least `lowest`. If there is none, the model is
    in doubt: then the set has the most probable labels whose probabilities together reach the
    confidence.

    Args:
        probabilities: (N, classes).
    """
    chosen: NDArray[np.bool_] = probabilities >= lowest
    for row in np.flatnonzero(~chosen.any(axis=1)):
        order = (-probabilities[row]).argsort(kind="stable")
        before = np.cumsum(probabilities[row][order]) - probabilities[row][order]
        chosen[row, order[before < confidence - 1e-6]] = True
    return chosen
