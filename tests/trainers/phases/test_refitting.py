from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from trainers.heads.head import Head
from trainers.phases import head_phase, refitting
from trainers.phases.context import TrainingContext

Start = Callable[..., TrainingContext]

pytestmark = pytest.mark.slow


@pytest.fixture
def context(start: Start) -> TrainingContext:
    return start(strategy="features")


@pytest.fixture
def head(context: TrainingContext) -> Head:
    return head_phase.train_head(context)


def test_the_head_is_trained_on_training_and_validation_pictures(
    context: TrainingContext, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []
    fit = refitting.linear.fit_linear

    def record(examples, budget, strengths):
        fitted.append((examples, strengths))
        return fit(examples, budget, strengths)

    monkeypatch.setattr(refitting.linear, "fit_linear", record)
    refitted = refitting.refit(context, head)
    ((examples, strengths),) = fitted
    dataset = context.dataset
    rows = np.flatnonzero(np.array(dataset.splits) != "test")
    assert examples.labels.tolist() == dataset.labels[rows].tolist()
    assert strengths == (head.strength,)
    assert examples.train.shape[1] == head.views
    assert refitted.held_out is not None
    assert refitted.held_out.rows.tolist() == rows.tolist()
    assert refitted.held_out.labels.tolist() == dataset.labels[rows].tolist()
    own = np.asarray(refitted.model(examples.validation, training=False))
    assert (own.argmax(axis=1) == context.validation_labels).tolist() == (
        refitted.validation.hits.tolist()
    )


def test_no_picture_is_predicted_by_a_head_that_was_trained_on_it(
    context: TrainingContext, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels that are drawn at random can only be memorised."""
    labels = np.random.default_rng(3).integers(0, 2, len(context.dataset.labels))
    context = replace(context, dataset=replace(context.dataset, labels=labels))
    refitted = refitting.refit(context, head)
    assert refitted.held_out is not None
    assert refitted.held_out.accuracy < 0.75


def test_a_head_of_many_pictures_stays(
    context: TrainingContext, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refitting, "MAX_PICTURES", 40)
    assert refitting.refit(context, head) is head


def test_a_head_stays_without_pictures_to_hold_out(start: Start) -> None:
    context = start(red=2, blue=2)
    head = head_phase.train_head(context)
    assert refitting.refit(context, head) is head


def test_a_head_stays_if_the_time_budget_is_spent(context: TrainingContext, head: Head) -> None:
    config = context.config.model_copy(update={"time_budget": 1e-9})
    assert refitting.refit(replace(context, config=config), head) is head
