from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from trainers.guidance.learning_curve import LearningCurve
from trainers.phases import advising
from trainers.phases.advising import advise
from trainers.phases.context import TrainingContext
from trainers.resources.time_budget import TimeBudget, TimeBudgetSpentError

Start = Callable[..., TrainingContext]


def with_wrong_labels(context: TrainingContext, rows: list[int]) -> TrainingContext:
    labels = context.dataset.labels.copy()
    labels[rows] = 1 - labels[rows]
    return replace(context, dataset=replace(context.dataset, labels=labels))


@pytest.mark.slow
def test_wrong_labels_of_all_splits_are_found(start: Start) -> None:
    context = start(red=60, blue=60)
    wrong = [int(context.dataset.rows(split)[0]) for split in ("train", "validation", "test")]
    advice = advise(with_wrong_labels(context, wrong), 0.01, 80)
    assert set(advice.suspects.rows) == set(wrong)
    assert advice.suspects.examined == 120
    assert advice.curve.now is not None
    assert advice.curve.now.pictures == 80
    assert len(advice.curve.points) == 5


@pytest.mark.slow
def test_few_pictures_have_no_curve_and_very_few_no_suspects(start: Start) -> None:
    few = advise(start(red=12, blue=12), 0.01, 80)
    assert few.suspects.examined == 24
    assert "there are too few pictures to measure it" in few.curve.summary
    assert not few.curve.points


@pytest.mark.slow
def test_the_curve_counts_the_classes_as_in_the_dataset(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample has about as many pictures of each class."""
    weights = []
    monkeypatch.setattr(advising, "MAX_PICTURES", 100)
    monkeypatch.setattr(
        advising,
        "fit_curve",
        lambda *arguments, now: weights.append(arguments[3]) or LearningCurve(""),
    )
    advise(start(red=50, blue=110), 0.01, 80)
    np.testing.assert_allclose(np.unique(weights[0]), [1, 2.2])


@pytest.mark.slow
def test_very_few_pictures_are_not_examined(start: Start) -> None:
    advice = advise(start(red=9, blue=10), 0.01, 80)
    assert advice.suspects.reason == "there are fewer than 10 pictures per class on average"
    assert advice.suspects.reason in advice.curve.summary


@pytest.mark.slow
def test_many_pictures_are_sampled(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advising, "MAX_PICTURES", 30)
    assert advise(start(), 0.01, 80).suspects.examined == 30
    monkeypatch.setattr(advising, "MAX_OUTPUTS", 10)
    assert advise(start(), 0.01, 80).suspects.reason == "2 classes would take too long"
    monkeypatch.setattr(advising, "MAX_OUTPUTS", 60)
    assert "because 2 classes would take too long" in advise(start(), 0.01, 80).curve.summary


@pytest.mark.slow
def test_nothing_is_known_if_the_time_is_spent(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first step, while heads are trained, and while embeddings are computed."""
    context, calls = start(time_budget=1e9), []
    answers = [advise(replace(context, started=-2e9), 0.01, 80)]
    # This call writes the embeddings into the cache.
    assert not advise(context, 0.01, 80).suspects.reason
    with monkeypatch.context() as patch:
        patch.setattr(TimeBudget, "is_spent", lambda *_: calls.append(1) or len(calls) > 1)
        answers.append(advise(context, 0.01, 80))

    def raise_error(*_: object) -> None:
        raise TimeBudgetSpentError("spent")

    monkeypatch.setattr(advising, "embed_sample", raise_error)
    answers.append(advise(context, 0.01, 80))
    assert {answer.suspects.reason for answer in answers} == {"the time budget was spent"}


@pytest.mark.slow
def test_the_model_and_its_test_do_not_change(start: Start) -> None:
    context = start()
    weights = [weight.copy() for weight in context.network.body.get_weights()]
    splits = context.dataset.splits
    advise(context, 0.01, 80)
    assert all(map(np.array_equal, weights, context.network.body.get_weights()))
    assert context.dataset.splits == splits
