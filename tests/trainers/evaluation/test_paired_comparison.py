from __future__ import annotations

import numpy as np

from trainers.evaluation.paired_comparison import compare_answers


def test_the_interval_covers_the_true_difference_in_95_percent() -> None:
    """95% of the intervals of 2,000 draws of 150 pictures contain the true difference of 0.05."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        cells = rng.choice(4, 150, p=[0.8, 0.09, 0.04, 0.07])  # correct: both, new, old, none
        result = compare_answers(list(np.isin(cells, (0, 1))), list(np.isin(cells, (0, 2))))
        hits += result.low <= 0.05 <= result.high
    assert 0.935 < hits / 2000 < 0.975


def test_equal_models_on_few_pictures_are_not_called_certain() -> None:
    result = compare_answers([True] * 20, [True] * 20)
    assert result.is_at_least_as_accurate
    assert result.low < -0.05 < 0.05 < result.high
