from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from trainers.evaluation.average_precision import average_precisions, mean_average_precision

RNG = np.random.default_rng(0)
TARGETS = RNG.random((50, 3)) < [0.5, 0.3, 0.1]
PROBABILITIES = np.clip(TARGETS * 0.4 + RNG.random(TARGETS.shape) * 0.6, 0, 1).astype(np.float32)
PROBABILITIES[:20] = PROBABILITIES[:20].round(1)  # several scores are equal


def test_a_weight_counts_as_copies_of_a_picture() -> None:
    weights = RNG.integers(0, 3, len(TARGETS))
    copies = np.repeat(np.arange(len(TARGETS)), weights)
    expected = average_precisions(PROBABILITIES[copies], TARGETS[copies], np.ones(len(copies)))
    assert average_precisions(PROBABILITIES, TARGETS, weights) == pytest.approx(expected)


def test_the_mean_is_that_of_scikit_learn_without_labels_that_no_picture_has() -> None:
    expected = average_precision_score(TARGETS, PROBABILITIES, average="macro")
    assert mean_average_precision(PROBABILITIES, TARGETS) == pytest.approx(expected)
    rare = np.column_stack([TARGETS, np.zeros(50, np.bool_)])
    scores = np.column_stack([PROBABILITIES, np.ones(50, np.float32)])
    assert mean_average_precision(scores, rare) == pytest.approx(expected)
    assert mean_average_precision(scores, np.zeros_like(rare)) is None
