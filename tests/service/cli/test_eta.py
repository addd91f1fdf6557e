from __future__ import annotations

import pytest

from service.cli import eta
from service.cli.eta import EtaEstimator, format_duration


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of a clock that stands still; add to the first entry to let time pass."""
    now = [100.0]
    monkeypatch.setattr(eta.time, "monotonic", lambda: now[0])
    return now


def test_the_speed_is_unknown_before_the_second_step(clock: list[float]) -> None:
    estimator = EtaEstimator(4)
    clock[0] += 60  # the first step compiles
    estimator.advance(1)
    assert (estimator.seconds_left(), estimator.remaining()) == (None, "")
    clock[0] += 2
    estimator.advance(1)
    assert estimator.seconds_left() == 4


def test_the_speed_is_unknown_until_one_step_after_the_warm_up(clock: list[float]) -> None:
    estimator = EtaEstimator(40, warm_up=10)
    for _ in range(11):
        clock[0] += 5
        estimator.advance(1)
        assert estimator.seconds_left() is None
    clock[0] += 1
    estimator.advance(1)
    assert estimator.seconds_left() == 28


def test_work_without_a_total_has_no_estimate() -> None:
    estimator = EtaEstimator(None)
    estimator.advance(1)
    assert estimator.remaining() == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (7.4, "7 s"), (43, "45 s"), (89, "90 s"), (150, "2 min"), (9000, "2.5 h")],
)
def test_durations_are_rounded_as_people_say_them(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
