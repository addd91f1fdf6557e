from __future__ import annotations

import numpy as np
import pytest

from benchmarks.trust import sets


@pytest.mark.parametrize("name", sets.METHODS)
def test_the_sets_of_a_calibrated_model_keep_the_promise(name: str) -> None:
    """The true classes are drawn with the model's own probabilities."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.3] * 6, 4000).astype(np.float32)
    draws = rng.random((4000, 1))
    labels = (probabilities.cumsum(axis=1) < draws).sum(axis=1).clip(max=5)
    results = sets.measure(probabilities, labels, 4, seed=1)[name]
    coverage = np.mean([row[0] for row in results])
    size = np.mean([row[1] for row in results])
    slack = 0.02 if name == "LAC (Graft)" else 0.1  # the others never return an empty set
    assert 0.88 <= coverage <= 0.9 + slack
    assert 1 < size < 4


def test_cumulated_scores_grow_with_the_rank() -> None:
    probabilities = np.array([[0.2, 0.5, 0.3]], np.float32)
    scores = sets._cumulated(probabilities, 0.0, np.random.default_rng(0))[0]
    assert scores[1] < scores[2] < scores[0] <= 1
    penalised = sets._cumulated(probabilities, 0.1, np.random.default_rng(0))[0]
    np.testing.assert_allclose(penalised - scores, [0.2, 0, 0.1], atol=1e-6)
