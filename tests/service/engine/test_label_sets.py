"""The sets of labels: their lowest score, their coverage, and that they are never empty."""

from __future__ import annotations

import numpy as np
import pytest

from service.engine.label_sets import DEFAULT_CONFIDENCE, in_set, lowest_score, missing_sets_warning
from service.settings import Settings


def test_the_default_confidence_is_that_of_the_setting() -> None:
    assert Settings().confidence == DEFAULT_CONFIDENCE


@pytest.mark.parametrize(
    ("count", "confidence", "expected"),
    [(9, 0.9, 0.1), (19, 0.9, 0.2), (29, 0.9, 0.3), (99, 0.99, 0.1), (3, 0.5, 0.2), (2, 0.0, 0.2)],
)
def test_the_lowest_score_is_that_of_the_right_rank(
    count: int, confidence: float, expected: float
) -> None:
    scores = [0.1 * (1 + index) for index in range(count)]
    assert lowest_score(scores, confidence) == pytest.approx(expected)


@pytest.mark.parametrize(("count", "confidence"), [(0, 0.9), (8, 0.9), (98, 0.99)])
def test_too_few_pictures_have_no_lowest_score(count: int, confidence: float) -> None:
    assert lowest_score([0.5] * count, confidence) is None


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
def test_sets_of_new_pictures_have_the_promised_coverage(confidence: float) -> None:
    coverages = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        probabilities = rng.dirichlet([0.4] * 5, 300)
        labels = (rng.random((300, 1)) < probabilities.cumsum(axis=1)).argmax(axis=1)
        true = probabilities[np.arange(300), labels]
        lowest = lowest_score(sorted(true[:100]), confidence)
        assert lowest is not None
        chosen = in_set(probabilities[100:].astype(np.float32), lowest, confidence)
        coverages.append(chosen[np.arange(200), labels[100:]].mean())
    assert confidence - 0.005 < np.mean(coverages) < confidence + 0.03


def test_a_picture_in_doubt_has_a_larger_set_and_never_an_empty_one() -> None:
    probabilities = np.array(
        [[0.9, 0.06, 0.04], [0.35, 0.34, 0.31], [0.6, 0.38, 0.02], [0.65, 0.3, 0.05]], np.float32
    )
    assert in_set(probabilities, 0.7, 0.9).tolist() == [
        [True, False, False],
        [True, True, True],
        [True, True, False],
        [True, True, False],
    ]
    assert in_set(probabilities, 0.3, 0.9)[1].all()


def test_a_confidence_that_needs_more_pictures_is_a_warning() -> None:
    scores = [0.5] * 20
    assert missing_sets_warning(scores, 0.9) == missing_sets_warning(scores, 0) == ""
    assert missing_sets_warning(None, 0.9) == ""
    assert missing_sets_warning(scores, 0.99) == (
        "answers have no set of labels: GRAFT_CONFIDENCE=0.99 needs more validation pictures than "
        "the 20 of this model"
    )
