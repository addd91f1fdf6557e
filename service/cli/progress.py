"""Progress on stderr: on a terminal, one line that is updated; otherwise, a line every 10 s."""

from __future__ import annotations

import sys
import time

from service.cli.eta import format_duration

SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_CHANGES = 0.2
_ERASE_LINE = "\r\x1b[K"


class ProgressLine:
    """Counts finished pictures, and shows their number, their rate and the time left.

    Args:
        total: number of pictures.
        is_shown: whether to print; if False, pictures are only counted.
    """

    def __init__(self, total: int, is_shown: bool) -> None:
        self._total, self._is_shown, self._done = total, is_shown, 0
        self._is_terminal = sys.stderr.isatty()
        self._interval = _SECONDS_BETWEEN_CHANGES if self._is_terminal else SECONDS_BETWEEN_LINES
        self._started = self._shown_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since this object was created."""
        return time.monotonic() - self._started

    def advance(self) -> None:
        """Count one finished picture."""
        self._done += 1
        now = time.monotonic()
        if self._is_shown and now - self._shown_at >= self._interval:
            self._shown_at = now
            self._print(self._done / (now - self._started))

    def close(self) -> None:
        """Erase the line if stderr is a terminal."""
        if self._is_shown and self._is_terminal:
            print(_ERASE_LINE, end="", file=sys.stderr, flush=True)

    def _print(self, rate: float) -> None:
        left = format_duration((self._total - self._done) / rate)
        text = f"{self._done:,} of {self._total:,} pictures, {rate:.0f}/s, about {left} left"
        before, after = (_ERASE_LINE, "") if self._is_terminal else ("", "\n")
        print(before + text, end=after, file=sys.stderr, flush=True)
