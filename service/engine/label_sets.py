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


def lowest_score(true_scores: Sequence[float], confidence: float) -> float:
    """Return the lowest probability of a label in a set.

    Of new pictures like those of `true_scores`, at least this share has a true class with such a
    probability. The result is 0, so that a set has all labels, if there are too few pictures for
    this confidence: 0.9 needs 9 pictures, and 0.99 needs 99.

    Args:
        true_scores: the probabilities of the true classes of some pictures, in ascending order.
        confidence: 0 to 1.
    """
    rank = math.floor((len(true_scores) + 1) * (1 - confidence) + 1e-9)
    return true_scores[rank - 1] if rank else 0.0


def in_set(probabilities: NDArray[np.float32], lowest: float) -> NDArray[np.bool_]:
    """Return which labels are in the set: those with at least `lowest`, and the most probable one.

    Args:
        probabilities: (..., classes).
    """
    highest = probabilities.max(axis=-1, keepdims=True)
    chosen: NDArray[np.bool_] = probabilities >= np.minimum(lowest, highest)
    return chosen
