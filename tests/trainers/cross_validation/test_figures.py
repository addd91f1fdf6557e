from __future__ import annotations

import numpy as np
import pytest

from trainers.cross_validation.figures import interval_of_mean, summarise
from trainers.evaluation.metrics import wilson_interval


def test_the_interval_is_that_of_nadeau_and_bengio() -> None:
    low, high = interval_of_mean([1000] * 5, [0.80, 0.84, 0.76, 0.82, 0.78])
    margin = 2.7764451 * np.sqrt(0.001 * (1 / 5 + 1 / 4))  # t quantile for 4 degrees of freedom
    assert (low, high) == pytest.approx((0.8 - margin, 0.8 + margin))


def test_equal_folds_have_the_interval_of_all_pictures_together() -> None:
    assert interval_of_mean([20] * 5, [1.0] * 5) == pytest.approx(wilson_interval(100, 100))


def test_the_interval_ends_at_0_and_1() -> None:
    assert interval_of_mean([10, 10], [0.2, 0.9]) == (0, 1)


def test_the_figures_are_means_and_standard_deviations_of_the_folds() -> None:
    folds = [
        {"n": 10, "accuracy": accuracy, "log_loss": loss, "phase": "head"}
        for accuracy, loss in ((0.8, 0.5), (0.9, 0.3))
    ]
    figures = summarise(folds, 23)
    assert (figures["k"], figures["n"], figures["not_tested"]) == (2, 20, 3)
    assert figures["accuracy"] == pytest.approx(0.85)
    assert figures["accuracy_std"] == pytest.approx(0.1 / np.sqrt(2))
    assert figures["log_loss"] == pytest.approx(0.4)
    assert figures["log_loss_std"] == pytest.approx(0.2 / np.sqrt(2))
    assert figures["folds"] == folds
