"""How far some work is, and when the rest of it will be done."""

from __future__ import annotations

import time

from service.cli.progress import in_words


class Pace:
    """How much of some work is done, and when the rest will be, by the speed since its warm-up.

    Args:
        total: steps; None for work that cannot be counted.
        done: steps of an earlier run.
        warm_up: first steps of this one that say nothing about the speed.
    """

    def __init__(self, total: int | None, done: int = 0, warm_up: int = 0) -> None:
        self.total, self.done = total, done
        self._warm = done + warm_up
        self._since: tuple[float, int] | None = None

    def advance(self, count: int) -> None:
        self.done += count
        if self._since is None and self.done > self._warm:
            self._since = (time.monotonic(), self.done)

    def seconds_left(self) -> float | None:
        """None where nothing is known of the speed."""
        if self.total is None or self._since is None or self.done == self._since[1]:
            return None
        began, before = self._since
        return (self.total - self.done) * (time.monotonic() - began) / (self.done - before)

    def left(self) -> str:
        """The time left in words; nothing where it is not known."""
        seconds = self.seconds_left()
        return "" if seconds is None else f"about {in_words(seconds)} left"
