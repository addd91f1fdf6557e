"""The sets of labels: their lowest score, their coverage, and that they are never empty."""

from __future__ import annotations

import numpy as np
import pytest

from service.engine.label_sets import DEFAULT_CONFIDENCE, in_set, lowest_score
from service.settings import Settings


def test_the_default_confidence_is_that_of_the_setting() -> None:
    assert Settings().confidence == DEFAULT_CONFIDENCE


@pytest.mark.parametrize(
    ("count", "confidence", "expected"),
    [(9, 0.9, 0.1), (8, 0.9, 0.0), (19, 0.9, 0.2), (29, 0.9, 0.3), (99, 0.99, 0.1), (3, 0.5, 0.2)],
)
def test_the_lowest_score_is_that_of_the_right_rank(
    count: int, confidence: float, expected: float
) -> None:
    scores = [0.1 * (1 + index) for index in range(count)]
    assert lowest_score(scores, confidence) == pytest.approx(expected)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
def test_sets_of_new_pictures_have_the_promised_coverage(confidence: float) -> None:
    coverages = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        probabilities = rng.dirichlet([0.4] * 5, 300)
        labels = (rng.random((300, 1)) < probabilities.cumsum(axis=1)).argmax(axis=1)
        true = probabilities[np.arange(300), labels]
        lowest = lowest_score(sorted(true[:100]), confidence)
        chosen = in_set(probabilities[100:].astype(np.float32), lowest)
        coverages.append(chosen[np.arange(200), labels[100:]].mean())
    assert confidence - 0.005 < np.mean(coverages) < confidence + 0.015


def test_a_set_has_at_least_the_most_probable_label() -> None:
    probabilities = np.array([[0.4, 0.35, 0.25], [0.9, 0.06, 0.04]], np.float32)
    assert in_set(probabilities, 0.5).tolist() == [[True, False, False], [True, False, False]]
    assert in_set(probabilities[0], 0.3).tolist() == [True, True, False]
    assert in_set(probabilities, 0.0).all()
