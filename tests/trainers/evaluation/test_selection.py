from __future__ import annotations

import numpy as np
import pytest

from trainers.evaluation.selection import (
    ValidationResult,
    cross_entropies,
    explain_choice,
    is_clearly_lower,
    should_replace,
)


def make_result(correct: int, total: int, score: float = 0.7) -> ValidationResult:
    """A result with `correct` correct answers, each with the probability `score`."""
    hits = np.arange(total) < correct
    return ValidationResult(np.where(hits, -np.log(score), -np.log(1 - score)), hits)


def test_13_of_23_do_not_replace_18_of_23() -> None:
    """In a real case, accuracy 0.57 replaced 0.78, although so few pictures prove nothing."""
    head, tuned = make_result(18, 23), make_result(13, 23, score=0.6)
    assert not is_clearly_lower(head.losses, tuned.losses - 0.2)
    assert not should_replace(tuned, head)
    assert not should_replace(
        ValidationResult(head.losses - 0.01, tuned.hits), head
    )  # even with a lower loss


@pytest.mark.parametrize(
    ("correct", "score", "expected"),
    [
        (130, 0.8, True),  # more accurate, lower loss
        (130, 0.7, True),
        (120, 0.75, True),  # equally accurate, lower loss
        (120, 0.65, False),  # equally accurate, higher loss
        (119, 0.8, False),  # less accurate
        (121, 0.999, False),  # confident mistakes: a clearly higher loss
    ],
)
def test_the_more_accurate_model_replaces_unless_its_loss_is_clearly_higher(
    correct: int, score: float, expected: bool
) -> None:
    assert should_replace(make_result(correct, 150, score), make_result(120, 150, 0.7)) is expected


def test_a_model_with_equal_answers_replaces() -> None:
    assert should_replace(make_result(20, 23), make_result(20, 23))


def test_nothing_is_replaced_without_pictures_or_with_losses_that_are_not_finite() -> None:
    assert not should_replace(make_result(0, 0), make_result(0, 0))
    diverged = ValidationResult(np.full(5, np.nan), np.ones(5, np.bool_))
    assert not should_replace(diverged, make_result(1, 5))


def test_a_loss_is_clearly_lower_beyond_a_standard_error() -> None:
    losses = np.linspace(0, 1, 100)
    assert is_clearly_lower(losses - 0.01, losses)
    assert not is_clearly_lower(losses, losses)
    assert not is_clearly_lower(losses - 0.01 + np.tile([-1, 1], 50), losses)
    assert not is_clearly_lower(np.full(100, np.nan), losses)
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
    result = ValidationResult.from_folds([make_result(2, 3), make_result(1, 1)])
    assert (len(result.losses), result.accuracy, result.folds) == (4, 0.75, 2)
    assert not ValidationResult.from_folds([]).is_known


def test_cross_entropies_are_bounded() -> None:
    losses = cross_entropies(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 1]))
    np.testing.assert_allclose(losses, [np.log(2), 7 * np.log(10)])


TARGETS = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], np.bool_)
RANKED = np.array([[0.9, 0.9], [0.8, 0.2], [0.1, 0.6], [0.2, 0.1]])
"""Probabilities that rank all pictures with a label first."""


def test_with_several_labels_the_loss_is_the_mean_of_the_labels() -> None:
    losses = cross_entropies(np.array([[0.5, 0.25], [0.0, 1.0]]), TARGETS[[1, 2]])
    np.testing.assert_allclose(losses, [-(np.log(0.5) + np.log(0.75)) / 2, 0], atol=1e-6)


def test_with_several_labels_a_hit_has_all_of_them() -> None:
    result = ValidationResult.from_probabilities(RANKED, TARGETS, folds=5)
    assert result.hits.all()
    assert (result.folds, result.score, result.score_name) == (5, 1, "mean average precision")
    wrong = RANKED.copy()
    wrong[0, 1] = 0.5  # not above 0.5, but still before all pictures without the label
    result = ValidationResult.from_probabilities(wrong, TARGETS)
    assert (result.hits.tolist(), result.score) == ([False, True, True, True], 1)
    assert result.record()["mean_average_precision"] == 1
    assert "mean average precision 1.0000" in str(result)


def test_with_several_labels_the_better_ranking_replaces() -> None:
    """The number of hits does not decide: their threshold of 0.5 is not that of the answers."""
    ranked = ValidationResult.from_probabilities(0.6 * RANKED, TARGETS)
    worse = RANKED.copy()
    worse[3, 0] = 0.85  # a picture without the label comes before one with it
    confused = ValidationResult.from_probabilities(worse, TARGETS)
    assert ranked.mistakes > confused.mistakes
    assert should_replace(ranked, confused)
    assert not should_replace(confused, ranked)
    assert explain_choice(ranked, confused) == (
        "fine-tuning raised the mean average precision of the 4 validation pictures from 0.9167 "
        "to 1.0000"
    )
    assert "reduced the mean average precision" in explain_choice(confused, ranked)


def test_with_several_labels_a_clearly_higher_loss_does_not_replace() -> None:
    old = ValidationResult.from_probabilities(RANKED, TARGETS)
    unsure = ValidationResult.from_probabilities(0.1 * RANKED, TARGETS)
    assert not should_replace(unsure, old)
    assert explain_choice(unsure, old) == "fine-tuning raised the validation loss"
