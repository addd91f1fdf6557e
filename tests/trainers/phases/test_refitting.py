from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.heads.examples import Pool
from trainers.heads.head import Head
from trainers.phases import head_phase, refitting
from trainers.phases.context import TrainingContext
from trainers.resources.time_budget import TimeBudget

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


def test_the_predictions_are_those_of_heads_that_were_not_trained_on_the_picture(
    context: TrainingContext, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = []

    def mark(pool: Pool, strength: float, budget: TimeBudget) -> NDArray[np.float32]:
        """Give each picture another probability, and no prediction to the first one."""
        assert strength == head.strength
        first = np.linspace(0.1, 0.9, len(pool.labels), dtype=np.float32)
        first[0] = np.nan
        marked.append(np.stack([first, 1 - first], axis=1))
        return marked[0]

    monkeypatch.setattr(refitting.linear, "predict_out_of_fold", mark)
    held_out = refitting.refit(context, head).held_out
    assert held_out is not None
    np.testing.assert_array_equal(held_out.probabilities, marked[0][1:])
    rows = np.flatnonzero(np.array(context.dataset.splits) != "test")
    assert held_out.rows.tolist() == rows[1:].tolist()


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
