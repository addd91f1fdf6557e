"""The time budget of a run. Slow steps check it, and stop when it is spent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras

from service.errors import GraftError


class TimeBudgetSpentError(GraftError):
    """The time budget was spent during an optional step. The run goes on without that step."""


@dataclass(frozen=True)
class TimeBudget:
    """The time limit of a run.

    Attributes:
        started: when the run started, in seconds of the clock `now`.
        seconds: the length of the budget; None if there is no limit.
        now: the clock, a function that returns seconds.
    """

    started: float = 0.0
    seconds: float | None = None
    now: Callable[[], float] = time.monotonic

    @property
    def is_unlimited(self) -> bool:
        """Whether there is no limit."""
        return self.seconds is None

    def seconds_left(self) -> float:
        """The remaining seconds: infinite without a limit, negative once the budget is spent."""
        return math.inf if self.seconds is None else self.started + self.seconds - self.now()

    def is_spent(self, reserve_seconds: float = 0.0) -> bool:
        """Whether at most `reserve_seconds` of the budget are left."""
        return self.seconds_left() <= reserve_seconds

    def check(self) -> None:
        """Raise TimeBudgetSpentError if the budget is spent."""
        if self.is_spent():
            raise TimeBudgetSpentError("the time budget was spent")


UNLIMITED = TimeBudget()


class TimeBudgetStopping(keras.callbacks.Callback):
    """A callback that stops training when the remaining time is just enough for validation.

    The callback measures the mean time of a training batch, and assumes that a validation batch
    takes as long. (In fact, it takes less time.)

    Args:
        is_spent: takes a number of seconds, and returns whether at most this time is left.
        validation_batches: the number of batches of the validation that follows the training; 0 if
            there is no validation.

    Attributes:
        has_stopped: whether this callback has stopped the training.
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
