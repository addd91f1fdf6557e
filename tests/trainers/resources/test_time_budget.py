"""The time budget: when it is spent, and when training stops for it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from trainers.resources import time_budget
from trainers.resources.time_budget import UNLIMITED, TimeBudget, TimeBudgetStopping


def budget_at(now: float, seconds: float | None = 10) -> TimeBudget:
    """A budget that started at second 100, with a clock that shows `now`."""
    return TimeBudget(100, seconds, now=lambda: now)


def test_the_budget_counts_from_the_start() -> None:
    assert budget_at(104).seconds_left() == 6
    assert not budget_at(109).is_spent()
    assert budget_at(110).is_spent()
    assert budget_at(106).is_spent(reserve_seconds=4)
    assert not budget_at(105).is_spent(reserve_seconds=4)


def test_without_a_limit_a_budget_is_never_spent() -> None:
    for unlimited in (UNLIMITED, budget_at(1e9, None)):
        assert unlimited.seconds_left() == math.inf
        assert not unlimited.is_spent()
        assert not unlimited.is_spent(1e9)
        assert unlimited.is_unlimited


def test_training_stops_early_enough_for_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two seconds per batch, three validation batches and a budget of ten seconds, there is
    time for one more batch after the first, which includes tracing the graph."""
    now = [100.0]
    monkeypatch.setattr(time_budget.time, "monotonic", lambda: now[0])
    callback = TimeBudgetStopping(
        TimeBudget(100, 10, now=lambda: now[0]).is_spent, validation_batches=3
    )
    model = SimpleNamespace(stop_training=False)
    callback.set_model(model)
    for batch in range(9):
        now[0] += 2
        callback.on_train_batch_end(batch)
        if model.stop_training:
            break
    assert (batch, now[0]) == (1, 104)


def test_training_does_not_stop_without_a_limit() -> None:
    callback = TimeBudgetStopping(UNLIMITED.is_spent, 3)
    model = SimpleNamespace(stop_training=False)
    callback.set_model(model)
    callback.on_train_batch_end(0)
    assert not model.stop_training
