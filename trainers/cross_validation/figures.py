"""Summarises the metrics of the folds: mean, standard deviation, and an interval of the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trainers.evaluation.metrics import wilson_interval

CONFIDENCE = 0.95


def summarise(folds: Sequence[dict[str, Any]], pictures: int) -> dict[str, Any]:
    """Return the figures of the cross-validation, as they are written to metrics.json.

    Args:
        folds: for each fold `n` (number of test pictures), `accuracy` (0 to 1) and `log_loss`.
        pictures: number of pictures of the dataset.

    Returns:
        A dictionary with these entries:
        k: the number of folds.
        n: the number of pictures that were tested. Each was tested once.
        not_tested: the number of other pictures.
        accuracy, accuracy_std: the mean and the standard deviation of the folds.
        accuracy_interval: the 95% confidence interval of the mean, see `interval_of_mean`.
        log_loss, log_loss_std: the same of the mean cross-entropies, in nats.
        folds: the argument `folds`.
    """
    accuracies, losses = ([fold[name] for fold in folds] for name in ("accuracy", "log_loss"))
    tested = sum(fold["n"] for fold in folds)
    return {
        "k": len(folds),
        "n": tested,
        "not_tested": pictures - tested,
        "accuracy": float(np.mean(accuracies)),
        "accuracy_std": float(np.std(accuracies, ddof=1)),
        "accuracy_interval": interval_of_mean([fold["n"] for fold in folds], accuracies),
        "log_loss": float(np.mean(losses)),
        "log_loss_std": float(np.std(losses, ddof=1)),
        "folds": list(folds),
    }


def interval_of_mean(counts: Sequence[int], accuracies: Sequence[float]) -> tuple[float, float]:
    """Return the 95% confidence interval of the mean accuracy of k folds.

    The training pictures of the folds overlap, so their accuracies are not independent, and the
    usual t interval is too narrow. Nadeau and Bengio (2003, Inference for the Generalization Error)
    correct its variance: 1/k becomes 1/k + (test pictures / training pictures), which is
    1/k + 1/(k - 1) here. If all folds happen to be equally accurate, this interval has no width. So
    it is made at least as wide as that of Wilson (1927) for all tested pictures together.

    Args:
        counts: (k,) the number of test pictures of each fold.
        accuracies: (k,) the accuracy of each fold, 0 to 1.
    """
    from scipy.stats import t

    k, mean = len(accuracies), float(np.mean(accuracies))
    error = float(np.std(accuracies, ddof=1)) * math.sqrt(1 / k + 1 / (k - 1))
    margin = float(t.ppf((1 + CONFIDENCE) / 2, k - 1)) * error
    correct = sum(round(n * share) for n, share in zip(counts, accuracies, strict=True))
    wilson = wilson_interval(correct, sum(counts))
    if wilson is None:
        raise AssertionError("the folds have no test pictures")
    return max(0.0, min(mean - margin, wilson[0])), min(1.0, max(mean + margin, wilson[1]))
