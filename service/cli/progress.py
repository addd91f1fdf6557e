"""How far a command is: one line that changes on a terminal, a line every 10 seconds elsewhere."""

from __future__ import annotations

import sys
import time

SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_CHANGES = 0.2
_ERASE = "\r\x1b[K"


class Counter:
    """Counts pictures on stderr.

    Args:
        total: how many there will be.
        is_shown: False shows nothing.
    """

    def __init__(self, total: int, is_shown: bool) -> None:
        self._total, self._is_shown, self._done = total, is_shown, 0
        self._is_terminal = sys.stderr.isatty()
        self._between = _SECONDS_BETWEEN_CHANGES if self._is_terminal else SECONDS_BETWEEN_LINES
        self._started = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started

    def advance(self) -> None:
        """Count one picture."""
        self._done += 1
        now = time.monotonic()
        if self._is_shown and now - self._last >= self._between:
            self._last = now
            self._show(self._done / (now - self._started))

    def close(self) -> None:
        """Leave nothing on a terminal."""
        if self._is_shown and self._is_terminal:
            print(_ERASE, end="", file=sys.stderr, flush=True)

    def _show(self, rate: float) -> None:
        left = in_words((self._total - self._done) / rate)
        text = f"{self._done:,} of {self._total:,} pictures, {rate:.0f}/s, about {left} left"
        before, after = (_ERASE, "") if self._is_terminal else ("", "\n")
        print(before + text, end=after, file=sys.stderr, flush=True)


def in_words(seconds: float) -> str:
    """A duration as people say it: 7 s, 40 s, 3 min, 2.5 h; from 10 s on in steps of 5."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds < 10 else f"{5 * round(seconds / 5)} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
