from __future__ import annotations

import numpy as np
import pytest

from trainers.evaluation.selection import (
    ValidationResult,
    cross_entropies,
    is_clearly_lower,
    should_replace,
)


def answered(correct: int, total: int, score: float = 0.7) -> ValidationResult:
    """Answers of which some are correct, each with the same probability."""
    hits = np.arange(total) < correct
    return ValidationResult(np.where(hits, -np.log(score), -np.log(1 - score)), hits)


def test_13_of_23_do_not_replace_18_of_23() -> None:
    """A real case: 0.57 replaced 0.78, because so few pictures prove nothing."""
    head, tuned = answered(18, 23), answered(13, 23, score=0.6)
    assert not is_clearly_lower(head.losses, tuned.losses - 0.2)
    assert not should_replace(tuned, head)
    assert not should_replace(
        ValidationResult(head.losses - 0.01, tuned.hits), head
    )  # whatever the loss


@pytest.mark.parametrize(
    ("right", "sure", "is_taken"),
    [
        (130, 0.8, True),  # more often right, lower loss
        (130, 0.7, True),
        (120, 0.75, True),  # as often right, lower loss
        (120, 0.65, False),  # as often right, higher loss
        (119, 0.8, False),  # less often right
        (121, 0.999, False),  # sure of its mistakes: a clearly higher loss
    ],
)
def test_the_one_that_is_right_more_often_is_taken_unless_its_loss_is_clearly_higher(
    right: int, sure: float, is_taken: bool
) -> None:
    assert should_replace(answered(right, 150, sure), answered(120, 150, 0.7)) is is_taken


def test_equal_answers_are_no_worse() -> None:
    assert should_replace(answered(20, 23), answered(20, 23))


def test_nothing_is_taken_without_pictures_or_with_losses_that_are_not_finite() -> None:
    assert not should_replace(answered(0, 0), answered(0, 0))
    diverged = ValidationResult(np.full(5, np.nan), np.ones(5, np.bool_))
    assert not should_replace(diverged, answered(1, 5))


def test_a_loss_is_clearly_lower_beyond_a_standard_error() -> None:
    others = np.linspace(0, 1, 100)
    assert is_clearly_lower(others - 0.01, others)
    assert not is_clearly_lower(others, others)
    assert not is_clearly_lower(others - 0.01 + np.tile([-1, 1], 50), others)
    assert not is_clearly_lower(np.full(100, np.nan), others)
    assert not is_clearly_lower(np.zeros(0), np.zeros(0))


def test_a_result_says_how_it_was_measured() -> None:
    hits = np.array([True, True, True, False])
    assert str(ValidationResult(np.ones(4), hits)) == "validation loss 1.0000, accuracy 0.7500"
    crossed = ValidationResult(np.ones(4), hits, folds=5)
    assert str(crossed) == "cross-validated loss 1.0000, accuracy 0.7500, on 4 pictures"
    assert crossed.mistakes == 1
    unknown = ValidationResult(np.zeros(0), np.zeros(0, np.bool_), folds=0)
    assert "not validated" in str(unknown)
    assert unknown.record() == {
        "method": "none",
        "folds": 0,
        "n": 0,
        "loss": None,
        "accuracy": None,
    }


def test_a_result_comes_from_probabilities() -> None:
    result = ValidationResult.from_probabilities(
        np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([1, 1])
    )
    np.testing.assert_allclose(result.losses, [np.log(2), np.log(4 / 3)])
    assert result.hits.tolist() == [False, True]
    assert (result.accuracy, result.mistakes) == (0.5, 1)


def test_the_result_of_folds_has_the_pictures_of_all() -> None:
    result = ValidationResult.from_folds([answered(2, 3), answered(1, 1)])
    assert (len(result.losses), result.accuracy, result.folds) == (4, 0.75, 2)
    assert not ValidationResult.from_folds([]).is_known


def test_cross_entropies_are_bounded() -> None:
    found = cross_entropies(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 1]))
    np.testing.assert_allclose(found, [np.log(2), 7 * np.log(10)])
