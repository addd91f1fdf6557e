"""The time budget: when it is spent, and what stops in the middle."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainers import clock
from trainers.clock import ENDLESS, Clock, Deadline, InTime, TimeIsUpError


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


class Doubling:
    shape = (3,)

    def __call__(self, images: Any) -> Any:
        return images * 2


def test_layers_stop_when_the_time_is_up() -> None:
    now = [100.0]
    layers = InTime(Doubling(), Clock(100, 10, now=lambda: now[0]))  # type: ignore[arg-type]
    assert layers.shape == (3,)
    np.testing.assert_array_equal(layers(np.ones(2, np.uint8)), [2, 2])
    now[0] = 111
    with pytest.raises(TimeIsUpError, match="time budget is spent"):
        layers(np.ones(2, np.uint8))


def test_training_ends_early_enough_to_be_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds a batch, three batches to judge, ten seconds: after the first, which also
    traces the graph, there is time for one."""
    now = [100.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
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
