"""Shows the progress of a run as bars, plain lines or JSON lines, and times its steps."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from service.cli.eta import EtaEstimator

if TYPE_CHECKING:
    import rich.progress

T = TypeVar("T")

log = logging.getLogger("graft")

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_JSON_LINES = 1.0
LABELS = {
    "digests": "reading files",
    "looks": "inspecting files",
    "groups": "comparing pictures",
    "pictures": "decoding",
    "embeddings": "extracting features",
    "maps": "extracting feature maps",
}
"""Texts shown to the user while missing records of the cache are computed. The keys are the labels
of these records in the cache."""


class Progress:
    """Shows the steps of a run on stderr and measures their time.

    Args:
        is_quiet: whether to show nothing.
        is_terminal: whether to draw bars; None draws bars if stderr is a terminal.
        is_json: whether to write JSON lines instead of bars and plain lines.
        part: the part of the run that the steps belong to, such as "fold 1"; it precedes every
            label, and is in the JSON lines of epochs.

    Attributes:
        seconds: the duration of each step in seconds, by its label, in the order in which the steps
            first began. If a step runs several times, its durations are added.
    """

    def __init__(
        self,
        is_quiet: bool = False,
        is_terminal: bool | None = None,
        is_json: bool = False,
        part: str = "",
    ) -> None:
        self._is_quiet, self._is_json, self._part = is_quiet, is_json, part
        self._is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
        self.seconds: dict[str, float] = {}
        self._lock, self._active_bars = threading.Lock(), 0
        self._display: rich.progress.Progress

    def for_part(self, part: str) -> Progress:
        """Return a progress that is shown in the same way, but measures its own times."""
        return Progress(self._is_quiet, self._is_terminal, self._is_json, part)

    def track(self, items: Iterable[T], total: int, label: str) -> Iterator[T]:
        """Yield `items`, and show how many of the `total` items are done."""
        with self.steps(total, label) as advance:
            for item in items:
                yield item
                advance(1)

    @contextmanager
    def steps(
        self, total: int, label: str, done: int = 0, warm_up: int = 0
    ) -> Iterator[Callable[[int], None]]:
        """Show the progress of work that consists of `total` steps.

        Yields a function. Call it with the number of steps that were done since its last call.

        Args:
            total: number of steps.
            label: text shown to the user, or a key of LABELS.
            done: number of steps that an earlier run has done. They do not count for the speed.
            warm_up: number of slow steps at the start. They do not count for the speed, so the time
                left is unknown until they are done. The very first step of this run never counts
                for the speed: it compiles, opens files and allocates memory.
        """
        label = self._full(LABELS.get(label, label))
        with self._timed(label), self._shown(EtaEstimator(total, done, warm_up), label) as advance:
            yield advance

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Show work whose number of steps is unknown."""
        label = self._full(label)
        with self._timed(label), self._shown(EtaEstimator(None), label):
            yield

    def _full(self, label: str) -> str:
        return f"{self._part}: {label}" if self._part else label

    def epoch(self, phase: str, number: int, epochs: int, figures: Mapping[str, Any]) -> None:
        """Write the figures of an epoch as a line of JSON; without JSON, write nothing.

        Args:
            number: number of the epoch, counted from 1.
            epochs: the largest number of epochs.
        """
        if self._is_json and not self._is_quiet:
            content = {"phase": phase, "epoch": number, "epochs": epochs, **figures}
            content |= {"part": self._part} if self._part else {}
            print(json_line("epoch", content), file=sys.stderr, flush=True)

    @contextmanager
    def _timed(self, label: str) -> Iterator[None]:
        self.seconds.setdefault(label, 0.0)
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[label] += time.monotonic() - started

    @contextmanager
    def _shown(self, pace: EtaEstimator, label: str) -> Iterator[Callable[[int], None]]:
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
                    bar.update(task, completed=pace.done, left=pace.remaining())

                yield advance
                bar.refresh()
                bar.remove_task(task)
        else:
            if pace.total is None:
                log.info("%s", label)
            yield _Lines(pace, label).advance

    @contextmanager
    def _bar(self) -> Iterator[rich.progress.Progress]:
        """Yield the display of progress bars. Tasks that run at the same time share it."""
        with self._lock:
            self._active_bars += 1
            if self._active_bars == 1:
                self._display = _make_display()
                self._display.start()
        try:
            yield self._display
        finally:
            with self._lock:
                self._active_bars -= 1
                if not self._active_bars:
                    self._display.stop()


def json_line(event: str, content: dict[str, Any]) -> str:
    """Format an event as one line of JSON, with the current time in UTC."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "event": event, **content})


class _Lines:
    """Logs the progress as plain lines, at most one every ten seconds."""

    def __init__(self, pace: EtaEstimator, label: str) -> None:
        self._pace, self._label = pace, label
        self._started = self._last = time.monotonic()

    def advance(self, count: int) -> None:
        self._pace.advance(count)
        if time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            left = self._pace.remaining() and f", {self._pace.remaining()}"
            log.info("%s: %d of %d%s", self._label, self._pace.done, self._pace.total, left)


class _JsonLines(_Lines):
    """Writes JSON lines: when a step begins, while it advances, and when it ends without an error.

    While the step advances, there is at most one line per second.
    """

    def __init__(self, pace: EtaEstimator, label: str) -> None:
        super().__init__(pace, label)
        self._write()

    def advance(self, count: int) -> None:
        self._pace.advance(count)
        if time.monotonic() - self._last > SECONDS_BETWEEN_JSON_LINES:
            self._last = time.monotonic()
            self._write()

    def end(self) -> None:
        self._write(seconds=round(time.monotonic() - self._started, 3))

    def _write(self, **extra: float) -> None:
        left = self._pace.seconds_left()
        state = {"step": self._label, "done": self._pace.done, "total": self._pace.total}
        eta = None if left is None else round(left, 1)
        line = json_line("step", {**state, "eta_seconds": eta, **extra})
        print(line, file=sys.stderr, flush=True)


def _make_display() -> rich.progress.Progress:
    import rich.console
    from rich import progress

    # Rich redirects stderr while a bar is shown, so lines of the log appear above the bar.
    console = rich.console.Console(stderr=True, force_terminal=True)
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.fields[left]}"),
    )
    return progress.Progress(*columns, console=console, transient=True)
