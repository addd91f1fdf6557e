"""Calibration of labels: of 100 labels with a probability of 90%, about 90 are there.

All logits are divided by one temperature, as those of single-label models. A sigmoid is the softmax
of a label and its absence, so the functions of `trainers.evaluation.calibration` can be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine import label_sets
from trainers.evaluation import calibration

LOWEST, HIGHEST = 0.5, 2.0
"""The limits of a temperature. A higher one could not be checked: float32 rounds the probability of
a logit above 17 to 1, so the logit cannot be computed from it."""


def fit_temperature(probabilities: NDArray[np.float32], targets: NDArray[np.bool_]) -> float:
    """Return the most probable temperature for all labels; 1 without predictions.

    Args:
        probabilities: (n, labels), of pictures that the model was not trained on.
        targets: (n, labels) whether each picture has each label.
    """
    step = 1 + probabilities.size // calibration.MAX_FITTED
    pairs, truth = _as_pairs(probabilities[::step]), targets[::step].astype(np.int64)
    return float(np.clip(calibration.fit_temperature(pairs, truth.ravel()), LOWEST, HIGHEST))


def apply_temperature(
    probabilities: NDArray[np.float32], temperature: float
) -> NDArray[np.float32]:
    """Return the probabilities (n, labels) after the logits are divided by `temperature`."""
    pairs = calibration.apply_temperature(_as_pairs(probabilities), temperature)
    return pairs[:, 1].reshape(probabilities.shape)


def _as_pairs(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability that each label is not there, and that it is: (n * labels, 2)."""
    flat = probabilities.ravel()
    return np.stack([1 - flat, flat], axis=1)


def true_scores(probabilities: NDArray[np.float32], targets: NDArray[np.bool_]) -> list[float]:
    """Return n numbers from which `label_sets.lowest_score` chooses the lowest probability in sets.

    With the number k (from 1) as the lowest probability, the sets of the n pictures that have
    labels miss shares of their true labels that add up to at most k - 1. So new sets contain the
    wanted share of the true labels on average (conformal risk control, Angelopoulos et al. 2024).

    Args:
        probabilities, targets: (pictures, labels), as for `fit_temperature`.

    Returns:
        In ascending order; thinned out to 1,000 numbers if there are more.
    """
    rows, columns = np.nonzero(targets)
    counts = targets.sum(axis=1)
    scores, shares = probabilities[rows, columns], 1 / counts[rows]
    order = np.argsort(scores, kind="stable")
    missed = np.cumsum(shares[order])  # if the score itself is missed, too
    allowed = np.arange((counts > 0).sum()) + 1e-9
    return calibration.thin_out(scores[order][np.searchsorted(missed, allowed, side="right")])


def evaluate_calibration(
    test: NDArray[np.float32],
    test_targets: NDArray[np.bool_],
    thresholds: NDArray[np.float32],
    scores: list[float],
    temperature: float,
    fitted_on: int,
) -> dict[str, Any]:
    """Measure the calibration of the exported model after its training, for metrics.json.

    Args:
        test, test_targets: (n, labels) probabilities of the calibrated model, and true labels.
        thresholds: (labels,) of `fit_thresholds`. A set contains all labels of the answer.
        scores: the result of `true_scores` for held-out pictures.
        temperature: the number that the logits were divided by.
        fitted_on: number of pictures that it was fitted on.

    Returns:
        The result of `measure_calibration` with temperature, fitted_on, and error_before, the
        expected calibration error without the temperature.
    """
    before = apply_temperature(test, 1 / temperature).ravel()
    confidence = label_sets.DEFAULT_CONFIDENCE
    return {
        "temperature": temperature,
        "fitted_on": fitted_on,
        "error_before": calibration.calibration_error(before, test_targets.ravel()),
        **measure_calibration(test, test_targets, thresholds, scores, confidence),
    }


def measure_calibration(
    test: NDArray[np.float32],
    targets: NDArray[np.bool_],
    thresholds: NDArray[np.float32],
    scores: Sequence[float],
    confidence: float,
) -> dict[str, Any]:
    """Measure the calibration of a model on pictures that it was not trained on.

    Args:
        test, targets: (n, labels) probabilities and true labels.
        thresholds, scores: as for `evaluate_calibration`.
        confidence: the value of GRAFT_CONFIDENCE; 0 = there are no sets.

    Returns:
        error, noise_floor: as for single-label models, but of all labels of all pictures: the score
            is the probability of a label, and right is a label that is there.
        bins: as for single-label models; `n` counts labels of pictures.
        sets: the share of true labels in the sets (`coverage`), averaged over the test pictures
            that have labels, and the mean number of labels in a set (`mean_size`). None without
            sets or test pictures with labels, or with too few held-out pictures.
    """
    hits, flat = targets.ravel(), test.ravel()
    return {
        "error": calibration.calibration_error(flat, hits),
        "noise_floor": calibration.noise_floor(flat),
        "bins": calibration.measure_bins(flat, hits),
        "sets": _evaluate_sets(test, targets, thresholds, scores, confidence),
    }


def _evaluate_sets(
    test: NDArray[np.float32],
    targets: NDArray[np.bool_],
    thresholds: NDArray[np.float32],
    scores: Sequence[float],
    confidence: float,
) -> dict[str, float] | None:
    lowest = label_sets.lowest_score(scores, confidence) if confidence else None
    has_labels = targets.any(axis=1)
    if lowest is None or not has_labels.any():
        return None
    chosen = test >= np.minimum(lowest, thresholds)
    found = (chosen & targets)[has_labels].sum(axis=1) / targets[has_labels].sum(axis=1)
    return {
        "confidence": confidence,
        "coverage": float(found.mean()),
        "mean_size": float(chosen.sum(axis=1).mean()),
    }
