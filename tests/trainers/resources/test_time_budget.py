"""The time budget: when it is spent, and what stops in the middle."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from trainers.resources import time_budget
from trainers.resources.time_budget import ENDLESS, Clock, Deadline


def at(now: float, budget: float | None = 10) -> Clock:
    """Started at 100, and now it is ..."""
    return Clock(100, budget, now=lambda: now)


def test_the_budget_counts_from_the_start() -> None:
    assert at(104).seconds_left() == 6
    assert not at(109).is_over()
    assert at(110).is_over()
    assert at(106).is_over(reserve_seconds=4)
    assert not at(105).is_over(reserve_seconds=4)


def test_without_a_budget_there_is_no_end() -> None:
    for endless in (ENDLESS, at(1e9, None)):
        assert endless.seconds_left() == math.inf
        assert not endless.is_over()
        assert not endless.is_over(1e9)
        assert endless.is_endless


def test_training_ends_early_enough_to_be_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds a batch, three batches to judge, ten seconds: after the first, which also
    traces the graph, there is time for one."""
    now = [100.0]
    monkeypatch.setattr(time_budget.time, "monotonic", lambda: now[0])
    deadline = Deadline(Clock(100, 10, now=lambda: now[0]).is_over, validation_batches=3)
    model = SimpleNamespace(stop_training=False)
    deadline.set_model(model)
    for batch in range(9):
        now[0] += 2
        deadline.on_train_batch_end(batch)
        if model.stop_training:
            break
    assert (batch, now[0]) == (1, 104)


def test_a_callback_without_a_budget_asks_nobody() -> None:
    deadline = Deadline(ENDLESS.is_over, 3)
    model = SimpleNamespace(stop_training=False)
    deadline.set_model(model)
    deadline.on_train_batch_end(0)
    assert not model.stop_training
