"""Estimate when some work will be done, and express durations in words."""

from __future__ import annotations

import time


class EtaEstimator:
    """Counts finished steps, and estimates the time left from the speed since the warm-up.

    Args:
        total: number of steps; None for work that cannot be counted.
        done: steps that an earlier run has finished.
        warm_up: first steps of this run that say nothing about the speed.
    """

    def __init__(self, total: int | None, done: int = 0, warm_up: int = 0) -> None:
        self.total, self.done = total, done
        self._warm_at = done + warm_up
        self._reference: tuple[float, int] | None = None
        """Time and number of finished steps at the end of the warm-up."""

    def advance(self, count: int) -> None:
        """Count finished steps."""
        self.done += count
        if self._reference is None and self.done > self._warm_at:
            self._reference = (time.monotonic(), self.done)

    def seconds_left(self) -> float | None:
        """Estimate the seconds left; None as long as the speed is unknown."""
        if self.total is None or self._reference is None or self.done == self._reference[1]:
            return None
        started, done_before = self._reference
        elapsed, finished = time.monotonic() - started, self.done - done_before
        return (self.total - self.done) * elapsed / finished

    def remaining(self) -> str:
        """Return the time left in words; "" as long as it is unknown."""
        seconds = self.seconds_left()
        return "" if seconds is None else f"about {format_duration(seconds)} left"


def format_duration(seconds: float) -> str:
    """Format a duration: 7 s, 40 s (in steps of 5 from 10 s on), 3 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds < 10 else f"{5 * round(seconds / 5)} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
