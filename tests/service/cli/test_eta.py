from __future__ import annotations

import pytest

from service.cli import eta
from service.cli.eta import Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of a clock that stands still; add to the first entry to let time pass."""
    now = [100.0]
    monkeypatch.setattr(eta.time, "monotonic", lambda: now[0])
    return now


def test_nothing_is_known_of_the_speed_before_the_second_step(clock: list[float]) -> None:
    found = Pace(4)
    clock[0] += 60  # compiles
    found.advance(1)
    assert (found.seconds_left(), found.left()) == (None, "")
    clock[0] += 2
    found.advance(1)
    assert found.seconds_left() == 4


def test_nor_before_the_warm_up_and_one_step_more(clock: list[float]) -> None:
    found = Pace(40, warm_up=10)
    for _ in range(11):
        clock[0] += 5
        found.advance(1)
        assert found.seconds_left() is None
    clock[0] += 1
    found.advance(1)
    assert found.seconds_left() == 28


def test_what_cannot_be_counted_has_no_end() -> None:
    found = Pace(None)
    found.advance(1)
    assert found.left() == ""
