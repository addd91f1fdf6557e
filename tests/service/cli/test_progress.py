from __future__ import annotations

import sys

import pytest

from service.cli import progress
from service.cli.progress import ProgressLine


class Clock:
    """Replaces the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def count(line: ProgressLine, clock: Clock, pictures: int, seconds: float) -> None:
    for _ in range(pictures):
        clock.now += seconds
        line.advance()
    line.close()


def test_without_a_terminal_a_line_is_printed_every_ten_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ProgressLine(5000, is_shown=True)
    count(line, clock, 25, 1)
    assert line.seconds == 25
    assert capsys.readouterr().err.splitlines() == [
        "10 of 5,000 pictures, 1/s, about 83 min left",
        "20 of 5,000 pictures, 1/s, about 83 min left",
    ]


def test_on_a_terminal_one_line_changes_and_is_erased_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    count(ProgressLine(6, is_shown=True), clock, 3, 0.125)
    output = capsys.readouterr().err
    assert output == "\r\x1b[K2 of 6 pictures, 8/s, about 0 s left\r\x1b[K"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_nothing_is_printed_when_progress_is_off(
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    count(ProgressLine(99, is_shown=False), clock, 50, 1)
    assert capsys.readouterr().err == ""
