"""Compares Graft's sets of labels with those of two other methods, on random splits.

Graft uses LAC (Sadinle, Lei and Wasserman 2019). The others are APS (Romano, Sesia and Candès 2020,
"Classification with Valid and Adaptive Coverage") and RAPS (Angelopoulos et al. 2021, "Uncertainty
Sets for Image Classifiers using Conformal Prediction"), both randomised, with sets of at least one
label.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.engine import label_sets

CONFIDENCE = 0.9
RAPS_PENALTY, RAPS_FREE_LABELS = 0.1, 1
"""RAPS adds this penalty for each label after the first RAPS_FREE_LABELS."""

Probabilities = NDArray[np.float32]
Labels = NDArray[np.int64]
Method = Callable[[Probabilities, Labels, Probabilities, np.random.Generator], NDArray[np.bool_]]
"""(calibration probabilities, their labels, probabilities, random) -> sets (N, classes)."""


def measure(
    probabilities: Probabilities, labels: Labels, splits: int, seed: int
) -> dict[str, list[tuple[float, float]]]:
    """Return the coverage and the mean size of the sets of each method, for each random split.

    Args:
        probabilities: (n, classes), of pictures that the model was not trained on.
        labels: (n,) indexes of their true classes.
        splits: number of splits. Each one uses half of the pictures to find the limit, and the
            other half to measure the sets.
    """
    rng = np.random.default_rng(seed)
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    for _ in range(splits):
        order = rng.permutation(len(labels))
        known, new = order[: len(order) // 2], order[len(order) // 2 :]
        for name, method in METHODS.items():
            sets = method(probabilities[known], labels[known], probabilities[new], rng)
            coverage = sets[np.arange(len(new)), labels[new]].mean()
            results[name].append((float(coverage), float(sets.sum(axis=1).mean())))
    return results


def lac(
    known: Probabilities, labels: Labels, new: Probabilities, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """The sets that the service returns."""
    scores = sorted(known[np.arange(len(labels)), labels].tolist())
    lowest = label_sets.lowest_score(scores, CONFIDENCE)
    assert lowest is not None, "there are too few pictures"
    return label_sets.in_set(new, lowest, CONFIDENCE)


def aps(
    known: Probabilities,
    labels: Labels,
    new: Probabilities,
    rng: np.random.Generator,
    penalty: float = 0.0,
) -> NDArray[np.bool_]:
    scores = _cumulated(known, penalty, rng)[np.arange(len(labels)), labels]
    rank = math.ceil((len(scores) + 1) * CONFIDENCE)
    limit = np.sort(scores)[min(rank, len(scores)) - 1]
    sets = _cumulated(new, penalty, rng) <= limit
    sets[np.arange(len(new)), new.argmax(axis=1)] = True
    return sets


def raps(
    known: Probabilities, labels: Labels, new: Probabilities, rng: np.random.Generator
) -> NDArray[np.bool_]:
    return aps(known, labels, new, rng, RAPS_PENALTY)


METHODS: dict[str, Method] = {"LAC (Graft)": lac, "APS": aps, "RAPS": raps}


def _cumulated(
    probabilities: Probabilities, penalty: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Add up the probabilities of all labels before each label, and a random share of its own."""
    order = (-probabilities).argsort(axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities.astype(np.float64), order, axis=1)
    share = rng.random((len(probabilities), 1))
    scores = ranked.cumsum(axis=1) - share * ranked
    scores += penalty * np.maximum(0, np.arange(1, ranked.shape[1] + 1) - RAPS_FREE_LABELS)
    cumulated = np.empty_like(scores)
    np.put_along_axis(cumulated, order, scores, axis=1)
    return cumulated
