"""How far a run is and how long its steps took: a bar, plain lines, JSON lines, or nothing."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from service.cli.eta import Pace

if TYPE_CHECKING:
    import rich.progress

T = TypeVar("T")

log = logging.getLogger("graft")

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_JSON_LINES = 1.0
WORDS = {
    "digests": "reading files",
    "looks": "looking at files",
    "groups": "comparing pictures",
    "pictures": "decoding",
    "embeddings": "extracting features",
    "maps": "extracting feature maps",
}
"""How the cache's shelves are called when people read about filling them."""
OTHERS = ("py.warnings", "tensorflow", "absl", "keras", "tf2onnx", "bentoml", "sklearn")
"""Loggers of Python's warnings and of libraries, which would write to stderr in their own ways."""


class Progress:
    """Shows steps of work on stderr and keeps their times.

    Args:
        is_quiet: show nothing.
        is_terminal: draw bars; by default, whether stderr is a terminal.
        is_json: write JSON lines in place of bars and plain lines.

    Attributes:
        seconds: how long each step took, in the order in which they began; a step that came more
            than once counts together.
    """

    def __init__(
        self, is_quiet: bool = False, is_terminal: bool | None = None, is_json: bool = False
    ) -> None:
        self._is_quiet, self._is_json = is_quiet, is_json
        self._is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
        self.seconds: dict[str, float] = {}
        self._lock, self._showing = threading.Lock(), 0
        self._display: rich.progress.Progress

    def track(self, items: Iterable[T], total: int, label: str) -> Iterator[T]:
        """Pass `items` on, showing how many of `total` are done."""
        with self.steps(total, label) as advance:
            for item in items:
                yield item
                advance(1)

    @contextmanager
    def steps(
        self, total: int, label: str, done: int = 0, warm_up: int = 0
    ) -> Iterator[Callable[[int], None]]:
        """Show work of `total` steps; the function that it gives counts some as done.

        Args:
            done: how many were done by an earlier run, which says nothing about the speed.
            warm_up: how many of the first to leave out of the speed: while they are done there is
                no estimate of the time left. The very first step is left out always, for it
                compiles, opens and allocates.
        """
        label = WORDS.get(label, label)
        with self._timed(label), self._shown(Pace(total, done, warm_up), label) as advance:
            yield advance

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Show work that cannot be counted: that it goes on, and in the end how long it took."""
        with self._timed(label), self._shown(Pace(None), label):
            yield

    @contextmanager
    def _timed(self, label: str) -> Iterator[None]:
        self.seconds.setdefault(label, 0.0)
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[label] += time.monotonic() - started

    @contextmanager
    def _shown(self, pace: Pace, label: str) -> Iterator[Callable[[int], None]]:
        if self._is_quiet:
            yield lambda count: None
        elif self._is_json:
            lines = _JsonLines(pace, label)
            yield lines.advance
            lines.end()
        elif self._is_terminal:
            with self._bar() as bar:
                task = bar.add_task(label, total=pace.total, completed=pace.done, left="")

                def advance(count: int) -> None:
                    pace.advance(count)
                    bar.update(task, completed=pace.done, left=pace.left())

                yield advance
                bar.refresh()
                bar.remove_task(task)
        else:
            if pace.total is None:
                log.info("%s", label)
            yield _Lines(pace, label).advance

    @contextmanager
    def _bar(self) -> Iterator[rich.progress.Progress]:
        """The one display on the terminal, for all steps that go on at a time."""
        with self._lock:
            self._showing += 1
            if self._showing == 1:
                self._display = _display()
                self._display.start()
        try:
            yield self._display
        finally:
            with self._lock:
                self._showing -= 1
                if not self._showing:
                    self._display.stop()


class _Lines:
    """A line in the log every few seconds."""

    def __init__(self, pace: Pace, label: str) -> None:
        self._pace, self._label = pace, label
        self._started = self._last = time.monotonic()

    def advance(self, count: int) -> None:
        self._pace.advance(count)
        if time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            left = self._pace.left() and f", {self._pace.left()}"
            log.info("%s: %d of %d%s", self._label, self._pace.done, self._pace.total, left)


class _JsonLines(_Lines):
    """A line of JSON when a step begins, every second, and when it ends."""

    def __init__(self, pace: Pace, label: str) -> None:
        super().__init__(pace, label)
        self._write()

    def advance(self, count: int) -> None:
        self._pace.advance(count)
        if time.monotonic() - self._last > SECONDS_BETWEEN_JSON_LINES:
            self._last = time.monotonic()
            self._write()

    def end(self) -> None:
        self._write(seconds=round(time.monotonic() - self._started, 3))

    def _write(self, **more: float) -> None:
        left = self._pace.seconds_left()
        state = {"step": self._label, "done": self._pace.done, "total": self._pace.total}
        eta = None if left is None else round(left, 1)
        line = _json_line("step", {**state, "eta_seconds": eta, **more})
        print(line, file=sys.stderr, flush=True)


def _display() -> rich.progress.Progress:
    import rich.console
    from rich import progress

    # While a bar is on the screen rich redirects stderr, so lines of the log appear above it.
    console = rich.console.Console(stderr=True, force_terminal=True)
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.fields[left]}"),
    )
    return progress.Progress(*columns, console=console, transient=True)


class _ToStderr(logging.Handler):
    """Writes to whatever sys.stderr is at the moment: a bar on the screen stands in for it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        content = {"level": record.levelname.lower(), "message": record.getMessage()}
        return _json_line("log", content)


def _json_line(event: str, content: dict[str, Any]) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "event": event, **content})


def log_line(message: str) -> str:
    """An error as the log would write it, for a thread that cannot wait for the log's lock."""
    record = logging.LogRecord(log.name, logging.ERROR, "", 0, message, None, None)
    return log.handlers[0].format(record)


def _log_uncaught(*error: Any) -> None:
    log.critical("%s", "".join(traceback.format_exception(*error)).rstrip())


@contextmanager
def log_for_caller(is_verbose: bool) -> Iterator[None]:
    """Log to stderr, or nowhere, while a function called from Python runs.

    Handlers that the calling program has set up itself get the messages in any case.
    """
    handler: logging.Handler = _ToStderr() if is_verbose else logging.NullHandler()
    level = log.level
    log.addHandler(handler)
    if is_verbose:
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def set_up_logging(is_quiet: bool, is_json: bool = False) -> None:
    """Send the log to stderr, one plain or JSON line a message; stdout is for results."""
    handler = _ToStderr()
    handler.setFormatter(_JsonFormatter() if is_json else logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.propagate = False
    if is_json:
        sys.excepthook = _log_uncaught
    logging.captureWarnings(True)
    for name in OTHERS:
        other = logging.getLogger(name)
        other.handlers, other.propagate = [handler], False
    log.setLevel(logging.WARNING if is_quiet else logging.INFO)
