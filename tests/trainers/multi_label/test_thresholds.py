from __future__ import annotations

import numpy as np
import pytest

from trainers.multi_label.thresholds import DEFAULT, MIN_PICTURES, fit_thresholds


def fit(scores: list[float], truth: list[int]) -> float:
    """Fit the threshold of a label whose pictures are there MIN_PICTURES times."""
    probabilities = np.tile(np.array(scores, np.float32), MIN_PICTURES)[:, np.newaxis]
    targets = np.tile(np.array(truth, np.bool_), MIN_PICTURES)[:, np.newaxis]
    return float(fit_thresholds(probabilities, targets)[0])


@pytest.mark.parametrize(
    ("scores", "truth", "expected"),
    [
        ([0.9, 0.2], [1, 0], 0.55),  # the middle between both
        ([0.3, 0.1], [1, 0], 0.2),  # 0.5 would miss all pictures
        ([0.95, 0.9, 0.7], [1, 1, 0], 0.8),
        ([0.9, 0.6, 0.3, 0.2], [1, 0, 1, 0], 0.25),  # F1 0.8, with the first only 0.67
        ([0.8, 0.4], [1, 1], 0.2),  # all pictures have the label
    ],
)
def test_the_threshold_has_the_highest_f1(
    scores: list[float], truth: list[int], expected: float
) -> None:
    assert fit(scores, truth) == pytest.approx(expected)


def test_equal_scores_stay_on_one_side() -> None:
    threshold = fit([0.6, 0.6, 0.1], [1, 0, 0])
    assert 0.1 < threshold < 0.6


def test_a_label_with_few_pictures_has_the_default() -> None:
    probabilities = np.array([[0.1, 0.2]] * (MIN_PICTURES - 1), np.float32)
    thresholds = fit_thresholds(probabilities, np.ones_like(probabilities, np.bool_))
    assert thresholds.tolist() == [DEFAULT, DEFAULT]
    assert fit_thresholds(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.bool_)).shape == (2,)
