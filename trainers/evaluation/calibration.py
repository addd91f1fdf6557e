"""Calibration: makes scores mean what they say, so that of 100 answers at 90% about 90 are right.

The logits are divided by one number, the temperature (Guo et al. 2017, "On Calibration of Modern
Neural Networks"). This changes the scores, but not their order, so the predicted classes stay the
same. A temperature above 1 lowers the highest scores, and a temperature below 1 raises them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine import label_sets
from trainers.evaluation.metrics import wilson_interval
from trainers.evaluation.predictions import Predictions

BINS = 15
"""Number of ranges of equal width into which the scores 0 to 1 are divided, as in Guo et al."""
BANDS = (0.99, 0.9, 0.7, 0.5, 0.0)
"""Lowest scores of the rows of the table in the report; a row ends where the row above begins."""
LOWEST, HIGHEST = 0.25, 4.0
"""The limits of a temperature."""
PRIOR_DEVIATION = 0.5
"""Standard deviation of the logarithm of the temperature, around 0, that is assumed before any
picture is seen. Without it, a few validation pictures that are all classified correctly would lead
to the lowest temperature, and to scores near 100%."""
MAX_FITTED = 10_000
"""The temperature is fitted on at most this many pictures; more would not change it."""
_SIMULATIONS = 200
MAX_TRUE_SCORES = 1000


def fit_temperature(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the most probable temperature for the predictions of a model; 1 without predictions.

    Args:
        probabilities: (n, classes), of pictures that the model was not trained on.
        labels: (n,) indexes of the true classes.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        return 1.0
    step = 1 + len(labels) // MAX_FITTED
    probabilities, labels = probabilities[::step], labels[::step]
    logits = np.log(np.clip(probabilities.astype(np.float64), 1e-30, 1))
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        highest = scaled.max(axis=1, initial=-np.inf)
        norm = highest + np.log(np.exp(scaled - highest[:, np.newaxis]).sum(axis=1))
        prior = log_temperature**2 / (2 * PRIOR_DEVIATION**2)
        return float((norm - scaled[rows, labels]).sum() + prior)

    bounds = (np.log(LOWEST), np.log(HIGHEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def apply_temperature(
    probabilities: NDArray[np.float32], temperature: float
) -> NDArray[np.float32]:
    """Return the probabilities that a model has after its logits are divided by `temperature`."""
    logits = np.log(np.clip(probabilities.astype(np.float64), 1e-30, 1)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    calibrated: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return calibrated.astype(np.float32)


def evaluate_calibration(
    test: Predictions, held_out: Predictions, temperature: float
) -> dict[str, Any]:
    """Measure the calibration of the exported model after its training, for metrics.json.

    Args:
        test: the predictions of the calibrated model.
        held_out: the predictions that the temperature was fitted on, with the temperature.
        temperature: the number that the logits were divided by.

    Returns:
        The result of `measure_calibration` with these entries:
        temperature, fitted_on: the temperature, and the number of pictures it was fitted on.
        error_before: the expected calibration error without the temperature.
    """
    before = apply_temperature(test.probabilities, 1 / temperature).max(axis=1, initial=0)
    return {
        "temperature": temperature,
        "fitted_on": len(held_out.labels),
        "error_before": calibration_error(before, test.predicted == test.labels),
        **measure_calibration(test, true_scores(held_out), label_sets.DEFAULT_CONFIDENCE),
    }


def measure_calibration(
    test: Predictions, scores: Sequence[float], confidence: float
) -> dict[str, Any]:
    """Measure the calibration of a model on pictures that it was not trained on.

    Args:
        scores: the result of `true_scores` for held-out pictures of the model.
        confidence: the value of GRAFT_CONFIDENCE; 0 = there are no sets.

    Returns:
        error: the expected calibration error of the test pictures, 0 to 1.
        noise_floor: the error that a perfectly calibrated model would have on as many pictures.
        bins: for each range of scores with pictures: `low` and `high` of the range, its number of
            pictures `n`, of which `correct` are classified correctly, their mean `score`,
            `accuracy`, and the 95% `interval` of the accuracy.
        bands: the same for the ranges of BANDS.
        sets: how the sets of labels do that the service returns with this `confidence`: the share
            of test pictures whose set has the true class (`coverage`), the mean number of labels
            (`mean_size`), and the share of sets with one label (`single`). None without sets or
            test pictures, or with too few validation pictures.
    """
    hits = test.predicted == test.labels
    return {
        "error": calibration_error(test.scores, hits),
        "noise_floor": noise_floor(test.scores),
        "bins": measure_bins(test.scores, hits),
        "bands": [
            _range(test.scores, hits, low, high)
            for low, high in zip(BANDS, (1.0, *BANDS), strict=False)
        ],
        "sets": _evaluate_sets(test, scores, confidence),
    }


def measure_bins(scores: NDArray[np.floating], hits: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the `bins` of `measure_calibration`: figures of each range of scores with pictures."""
    return [
        _range(scores, hits, low, high)
        for low, high in pairwise(np.linspace(0, 1, BINS + 1))
        if _is_within(scores, low, high).any()
    ]


def true_scores(predictions: Predictions) -> list[float]:
    """Return the probabilities of the true classes, in ascending order, for the sets of labels.

    Of more than MAX_TRUE_SCORES probabilities, only as many are kept, at equal distances.
    """
    rows = np.arange(len(predictions.labels))
    return thin_out(np.sort(predictions.probabilities[rows, predictions.labels]))


def thin_out(scores: NDArray[np.floating]) -> list[float]:
    """Keep at most MAX_TRUE_SCORES of sorted scores, at equal distances."""
    if len(scores) > MAX_TRUE_SCORES:
        kept = np.arange(MAX_TRUE_SCORES) + 0.5
        scores = scores[(kept * len(scores) / MAX_TRUE_SCORES).astype(np.int64)]
    return [float(score) for score in scores]


def _evaluate_sets(
    test: Predictions, scores: Sequence[float], confidence: float
) -> dict[str, float] | None:
    lowest = label_sets.lowest_score(scores, confidence) if confidence else None
    if lowest is None or not len(test.labels):
        return None
    chosen = label_sets.in_set(test.probabilities, lowest, confidence)
    sizes = chosen.sum(axis=1)
    return {
        "confidence": confidence,
        "coverage": float(chosen[np.arange(len(test.labels)), test.labels].mean()),
        "mean_size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
    }


def calibration_error(scores: NDArray[np.floating], hits: NDArray[np.bool_]) -> float:
    """Return the expected calibration error, 0 to 1; 0 without pictures.

    It is the difference between mean score and accuracy in each of BINS ranges of scores, averaged
    over the pictures.

    Args:
        scores: (n,) the probability of the predicted class of each picture.
        hits: (n,) whether the prediction is correct.
    """
    numbers = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    differences = np.bincount(numbers, weights=hits - scores.astype(np.float64), minlength=BINS)
    return float(np.abs(differences).sum() / max(1, len(scores)))


def noise_floor(scores: NDArray[np.floating]) -> float:
    """Return the mean calibration error of a perfectly calibrated model with these scores.

    The error is not 0, because in each range the number of correct predictions varies by chance.
    """
    rng = np.random.default_rng(0)
    errors = [
        calibration_error(scores, rng.random(len(scores)) < scores) for _ in range(_SIMULATIONS)
    ]
    return float(np.mean(errors))


def _range(
    scores: NDArray[np.floating], hits: NDArray[np.bool_], low: float, high: float
) -> dict[str, Any]:
    chosen = _is_within(scores, low, high)
    count, correct = int(chosen.sum()), int(hits[chosen].sum())
    return {
        "low": float(low),
        "high": float(high),
        "n": count,
        "correct": correct,
        "score": float(scores[chosen].mean()) if count else None,
        "accuracy": correct / count if count else None,
        "interval": wilson_interval(correct, count),
    }


def _is_within(scores: NDArray[np.floating], low: float, high: float) -> NDArray[np.bool_]:
    """Whether low <= score < high; a score of 1 belongs to the highest range."""
    return (scores >= low) & ((scores < high) | (high >= 1))
