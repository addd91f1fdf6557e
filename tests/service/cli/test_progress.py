from __future__ import annotations

import sys

import pytest

from service.cli import progress
from service.cli.progress import Counter, in_words


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def count(counter: Counter, clock: Clock, pictures: int, seconds: float) -> None:
    for _ in range(pictures):
        clock.now += seconds
        counter.advance()
    counter.close()


def test_elsewhere_a_line_every_ten_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    counter = Counter(5000, is_shown=True)
    count(counter, clock, 25, 1)
    assert counter.seconds == 25
    assert capsys.readouterr().err.splitlines() == [
        "10 of 5,000 pictures, 1/s, about 83 min left",
        "20 of 5,000 pictures, 1/s, about 83 min left",
    ]


def test_on_a_terminal_one_line_that_is_erased_in_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    count(Counter(6, is_shown=True), clock, 3, 0.125)
    said = capsys.readouterr().err
    assert said == "\r\x1b[K2 of 6 pictures, 8/s, about 0 s left\r\x1b[K"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_nothing_where_nothing_is_to_be_shown(
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    count(Counter(99, is_shown=False), clock, 50, 1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (7.4, "7 s"), (43, "45 s"), (89, "90 s"), (150, "2 min"), (9000, "2.5 h")],
)
def test_durations_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
