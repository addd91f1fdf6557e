"""The time budget of a run: slow steps ask whether it is spent, and stop when it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras

from service.errors import GraftError


class TimeBudgetSpentError(GraftError):
    """The time budget was spent during a step that the run can do without."""


@dataclass(frozen=True)
class TimeBudget:
    """How long a run may take.

    Attributes:
        started: when the run started, on the clock `now`.
        seconds: how long it may take; None if there is no limit.
        now: the clock, in seconds.
    """

    started: float = 0.0
    seconds: float | None = None
    now: Callable[[], float] = time.monotonic

    @property
    def is_unlimited(self) -> bool:
        """Whether there is no limit."""
        return self.seconds is None

    def seconds_left(self) -> float:
        """The rest of the budget; infinite if there is no limit, negative once it is spent."""
        return math.inf if self.seconds is None else self.started + self.seconds - self.now()

    def is_spent(self, reserve_seconds: float = 0.0) -> bool:
        """Whether no more than `reserve_seconds` are left."""
        return self.seconds_left() <= reserve_seconds


UNLIMITED = TimeBudget()


class StopInTime(keras.callbacks.Callback):
    """Stop training early enough for the validation that follows it.

    A validation batch is assumed to take as long as a training batch; it takes less.

    Args:
        is_spent: whether no more than so many seconds of the budget are left.
        validation_batches: number of batches of the validation at the end.

    Attributes:
        has_stopped: whether it stopped the training.
    """

    def __init__(self, is_spent: Callable[[float], bool], validation_batches: int = 0) -> None:
        super().__init__()
        self.has_stopped = False
        self._is_spent, self._validation_batches = is_spent, validation_batches
        self._first_batch_end: float | None = None
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        now = time.monotonic()
        if self._first_batch_end is None:
            self._first_batch_end = now  # the first batch includes tracing the graph
        seconds_per_batch = (now - self._first_batch_end) / max(1, self._batches)
        self._batches += 1
        reserve_seconds = seconds_per_batch * self._validation_batches
        if self._is_spent(reserve_seconds) and not self.model.stop_training:
            self.model.stop_training = self.has_stopped = True
