"""How far a run is: a bar on a terminal, plain lines in a log, nothing when quiet."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import rich.progress

T = TypeVar("T")

log = logging.getLogger("graft")

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Shows steps of work on stderr.

    Args:
        is_quiet: show nothing.
        is_terminal: draw bars; by default, whether stderr is a terminal.
    """

    def __init__(self, is_quiet: bool = False, is_terminal: bool | None = None) -> None:
        self._is_quiet = is_quiet
        self._is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal

    def track(self, items: Iterable[T], total: int, label: str) -> Iterator[T]:
        """Pass `items` on, showing how many of `total` are done."""
        with self.steps(total, label) as advance:
            for item in items:
                yield item
                advance(1)

    @contextmanager
    def steps(self, total: int, label: str) -> Iterator[Callable[[int], None]]:
        """Show work of `total` steps; the function that it gives counts some as done."""
        if self._is_quiet:
            yield lambda count: None
        elif self._is_terminal:
            with _bar() as bar:
                task = bar.add_task(label, total=total)
                yield lambda count: bar.advance(task, count)
        else:
            yield _Lines(total, label).advance


class _Lines:
    """A line in the log every few seconds."""

    def __init__(self, total: int, label: str) -> None:
        self._total, self._label, self._done = total, label, 0
        self._last = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            log.info("%s: step %d of %d", self._label, self._done, self._total)


def _bar() -> rich.progress.Progress:
    import rich.console
    import rich.progress

    # While a bar is on the screen rich redirects stderr, so lines of the log appear above it.
    console = rich.console.Console(stderr=True, force_terminal=True)
    return rich.progress.Progress(console=console, transient=True)


class _ToStderr(logging.Handler):
    """Writes to whatever sys.stderr is at the moment: a bar on the screen stands in for it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def set_up_logging(is_quiet: bool) -> None:
    """Send the log to stderr, one plain line a message; stdout is for results."""
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.WARNING if is_quiet else logging.INFO)
