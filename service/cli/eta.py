"""Estimate the time until a task is finished, and format durations."""

from __future__ import annotations

import time


class EtaEstimator:
    """Counts finished steps, and estimates the time left from the speed since the warm-up.

    Args:
        total: number of steps; None = unknown, so no time is estimated.
        done: number of steps that an earlier run has finished.
        warm_up: number of steps at the start of this run that are too slow to predict the speed.
    """

    def __init__(self, total: int | None, done: int = 0, warm_up: int = 0) -> None:
        self.total, self.done = total, done
        self._warm_up_end = done + warm_up
        self._reference: tuple[float, int] | None = None
        """Time and number of finished steps just after the warm-up; None = still in the warm-up."""

    def advance(self, count: int) -> None:
        """Add `count` steps to the finished steps."""
        self.done += count
        if self._reference is None and self.done > self._warm_up_end:
            self._reference = (time.monotonic(), self.done)

    def seconds_left(self) -> float | None:
        """Estimate the seconds left; None = the total or the speed is unknown."""
        if self.total is None or self._reference is None or self.done == self._reference[1]:
            return None
        started, done_before = self._reference
        elapsed, finished = time.monotonic() - started, self.done - done_before
        return (self.total - self.done) * elapsed / finished

    def remaining(self) -> str:
        """Return the time left as text, such as `about 3 min left`; "" = unknown."""
        seconds = self.seconds_left()
        return "" if seconds is None else f"about {format_duration(seconds)} left"


def format_duration(seconds: float) -> str:
    """Format a duration, such as 7 s, 40 s, 3 min or 2.5 h; seconds above 10 are multiples of 5."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds < 10 else f"{5 * round(seconds / 5)} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
