from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from trainers.evaluation.selection import (
    Losses,
    ValidationResult,
    cross_entropies,
    is_clearly_lower,
    is_no_worse,
)


@dataclass
class Answered:
    losses: Losses
    accuracy: float


def answered(correct: int, total: int, score: float = 0.7) -> Answered:
    """Answers of which some are correct, each with the same probability."""
    losses = np.where(np.arange(total) < correct, -np.log(score), -np.log(1 - score))
    return Answered(losses, correct / total)


def test_13_of_23_do_not_replace_18_of_23() -> None:
    """A real case: 0.57 replaced 0.78, because so few pictures prove nothing."""
    head, tuned = answered(18, 23), answered(13, 23, score=0.6)
    assert not is_clearly_lower(head.losses, tuned.losses - 0.2)
    assert not is_no_worse(tuned, head)
    assert not is_no_worse(Answered(head.losses - 0.01, 13 / 23), head)  # whatever the loss


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
    assert is_no_worse(answered(right, 150, sure), answered(120, 150, 0.7)) is is_taken


def test_equal_answers_are_no_worse() -> None:
    assert is_no_worse(answered(20, 23), answered(20, 23))


def test_nothing_is_taken_without_pictures_or_with_losses_that_are_not_finite() -> None:
    assert not is_no_worse(Answered(np.zeros(0), np.nan), Answered(np.zeros(0), np.nan))
    assert not is_no_worse(Answered(np.full(5, np.nan), 1.0), answered(1, 5))


def test_a_loss_is_clearly_lower_beyond_a_standard_error() -> None:
    others = np.linspace(0, 1, 100)
    assert is_clearly_lower(others - 0.01, others)
    assert not is_clearly_lower(others, others)
    assert not is_clearly_lower(others - 0.01 + np.tile([-1, 1], 50), others)
    assert not is_clearly_lower(np.full(100, np.nan), others)
    assert not is_clearly_lower(np.zeros(0), np.zeros(0))


def test_a_judgement_says_what_it_rests_on() -> None:
    hits = np.array([True, True, True, False])
    assert (
        str(ValidationResult.from_answers(np.ones(4), hits))
        == "validation loss 1.0000, accuracy 0.7500"
    )
    crossed = ValidationResult.from_answers(np.ones(4), hits, folds=5)
    assert str(crossed) == "cross-validated loss 1.0000, accuracy 0.7500, on 4 pictures"
    assert crossed.mistakes == 1
    unknown = ValidationResult.from_answers(np.zeros(0), np.zeros(0, np.bool_), folds=0)
    assert "not validated" in str(unknown)
    assert unknown.record() == {
        "method": "none",
        "folds": 0,
        "n": 0,
        "loss": None,
        "accuracy": None,
    }


def test_cross_entropies_are_bounded() -> None:
    found = cross_entropies(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 1]))
    np.testing.assert_allclose(found, [np.log(2), 7 * np.log(10)])
