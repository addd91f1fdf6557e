from __future__ import annotations

import numpy as np
import pytest

from trainers.evaluation.paired_comparison import (
    SIGNIFICANCE,
    compare_answers,
    compare_classes,
    holm,
)


def answers(both: int = 0, gained: int = 0, lost: int = 0) -> tuple[list[bool], list[bool]]:
    """The answers of the new and the old model to pictures of which they get these right."""
    new = [True] * (both + gained) + [False] * lost
    return new, [True] * both + [False] * gained + [True] * lost


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
    assert result.low < -0.05 < 0.05 < result.high
    assert (result.p_value, result.verdict) == (1, "not distinguishable")


@pytest.mark.parametrize(
    ("gained", "lost", "p_value", "verdict"),
    [
        (5, 0, 2 / 2**5, "not distinguishable"),
        (6, 0, 2 / 2**6, "better"),
        (0, 6, 2 / 2**6, "worse"),
        (7, 1, 2 * (1 + 8) / 2**8, "not distinguishable"),
        (3, 3, 1, "not distinguishable"),
    ],
)
def test_mcnemars_test_is_exact(gained: int, lost: int, p_value: float, verdict: str) -> None:
    result = compare_answers(*answers(both=100, gained=gained, lost=lost))
    assert (result.gained, result.lost) == (gained, lost)
    assert result.p_value == pytest.approx(p_value)
    assert result.verdict == verdict


def test_two_equally_good_models_are_rarely_called_different() -> None:
    rng = np.random.default_rng(0)
    draws = [rng.random((2, 150)) < 0.9 for _ in range(1000)]
    results = [compare_answers(new.tolist(), old.tolist()) for new, old in draws]
    assert sum(result.p_value < SIGNIFICANCE for result in results) < 0.05 * 1000


def test_classes_that_clearly_gain_or_lose_are_found() -> None:
    per_class = {
        "steady": answers(both=20),
        "gains": answers(both=5, gained=9),
        "loses": answers(both=5, lost=8),
    }
    labels = [label for label, (new, _) in per_class.items() for _ in new]
    new = [answer for of_new, _ in per_class.values() for answer in of_new]
    old = [answer for _, of_old in per_class.values() for answer in of_old]
    gains, loses, steady = compare_classes(labels, new, old)
    assert (gains.label, gains.n, gains.new, gains.old) == ("gains", 14, 14, 5)
    assert (loses.label, loses.n, loses.new, loses.old) == ("loses", 13, 5, 13)
    assert loses.p_loss == pytest.approx(3 / 2**8)  # the smallest of three p-values
    assert gains.p_gain == pytest.approx(3 / 2**9)
    changes = (gains, loses, steady)
    assert [change.is_clear_gain for change in changes] == [True, False, False]
    assert [change.is_clear_loss for change in changes] == [False, True, False]


def test_a_loss_counts_less_among_many_classes() -> None:
    new, old = answers(both=5, lost=8)
    (alone,) = compare_classes(["a"] * 13, new, old)
    assert alone.is_clear_loss
    others = [f"class{number}" for number in range(20)]
    among, *_ = compare_classes(["a"] * 13 + others, new + [True] * 20, old + [True] * 20)
    assert not among.is_clear_loss


def test_holms_correction_is_that_of_a_textbook() -> None:
    """The smallest of four p-values is multiplied by 4, the next by 3; none is below the last."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []
