"""The time budget of a run: slow steps ask first, and stop midway when it is spent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras

from service.errors import GraftError


class TimeIsUpError(GraftError):
    """The time budget was spent in the middle of something that can be done without."""


@dataclass(frozen=True)
class Clock:
    """When a run has to come to its end.

    Attributes:
        started: in seconds of `now`.
        budget: in seconds; None for no end.
    """

    started: float = 0.0
    budget: float | None = None
    now: Callable[[], float] = time.monotonic

    @property
    def is_endless(self) -> bool:
        return self.budget is None

    def seconds_left(self) -> float:
        """Infinite without a budget, negative when it is spent."""
        return math.inf if self.budget is None else self.started + self.budget - self.now()

    def is_over(self, reserve_seconds: float = 0.0) -> bool:
        """Whether the budget is spent.

        Args:
            reserve_seconds: that have to be left.
        """
        return self.seconds_left() <= reserve_seconds


ENDLESS = Clock()


class Deadline(keras.callbacks.Callback):
    """Ends training when the time is up, a whole validation before it: that follows at its end.

    Validation takes no longer for a picture than training does.

    Args:
        validation_batches: that will be judged at the end.
        is_over: told how many seconds validation wants.

    Attributes:
        has_ended: whether it did.
    """

    def __init__(self, is_over: Callable[[float], bool], validation_batches: int = 0) -> None:
        super().__init__()
        self.has_ended = False
        self._is_over, self._validation_batches = is_over, validation_batches
        self._first: float | None = None
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now  # tracing the graph belongs to no batch
        seconds = (now - self._first) / max(1, self._batches)
        self._batches += 1
        if self._is_over(seconds * self._validation_batches) and not self.model.stop_training:
            self.model.stop_training = self.has_ended = True
