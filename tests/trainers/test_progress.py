from __future__ import annotations

import json

import pytest

from trainers import progress
from trainers.cli.log_output import set_up_logging
from trainers.progress import Progress, log

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def restore_logging() -> object:
    handlers, level, propagate = log.handlers, log.level, log.propagate
    yield
    log.handlers, log.propagate = handlers, propagate
    log.setLevel(level)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still: add seconds to its only entry to let time pass."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_items_pass_through_in_order() -> None:
    for is_quiet, is_terminal in ((True, False), (False, False), (False, True)):
        reporter = Progress(is_quiet, is_terminal)
        assert list(reporter.track(range(5), 5, "work")) == list(range(5))


def test_the_log_shows_progress_and_the_time_left(clock: list[float], capsys: Capture) -> None:
    set_up_logging(is_quiet=False)
    with Progress(is_terminal=False).steps(60, "pictures") as advance:
        for seconds in (6, 6, 3, 8):
            clock[0] += seconds
            advance(10)
    assert capsys.readouterr().err == (
        "decoding: 20 of 60, about 25 s left\ndecoding: 40 of 60, about 10 s left\n"
    )


def test_steps_of_an_earlier_run_are_left_out_of_the_speed(
    clock: list[float], capsys: Capture
) -> None:
    set_up_logging(is_quiet=False)
    with Progress(is_terminal=False).steps(100, "fine-tuning", done=80) as advance:
        clock[0] += 20
        advance(5)
        clock[0] += 20
        advance(5)
    assert capsys.readouterr().err.endswith("fine-tuning: 90 of 100, about 40 s left\n")


def test_the_first_epoch_which_compiles_is_left_out_of_the_speed(
    clock: list[float], capsys: Capture
) -> None:
    set_up_logging(is_quiet=False)
    with Progress(is_terminal=False).steps(12, "fine-tuning", warm_up=3) as advance:
        for seconds in (40, 11, 11, 11, 11, 11):
            clock[0] += seconds
            advance(1)
    assert capsys.readouterr().err.splitlines() == [
        *(f"fine-tuning: {done} of 12" for done in (1, 2, 3, 4)),
        "fine-tuning: 5 of 12, about 75 s left",
        "fine-tuning: 6 of 12, about 65 s left",
    ]


def test_a_terminal_gets_a_bar_with_the_log_above_it(capsys: Capture) -> None:
    set_up_logging(is_quiet=False)
    with Progress(is_terminal=True).steps(2, "pictures") as advance:
        advance(1)
        log.info("half way")
        advance(1)
    printed = capsys.readouterr().err
    assert "decoding" in printed
    assert "2/2" in printed
    assert "about 0 s left" in printed
    assert "half way" in printed


def test_a_step_without_a_count_is_shown(capsys: Capture) -> None:
    set_up_logging(is_quiet=False)
    with Progress(is_terminal=True).step("exporting"):
        pass
    assert "exporting" in capsys.readouterr().err
    with Progress(is_terminal=False).step("exporting"):
        pass
    assert capsys.readouterr().err == "exporting\n"


@pytest.mark.parametrize("is_quiet", [True, False])
def test_the_seconds_of_each_step_are_recorded_in_order(clock: list[float], is_quiet: bool) -> None:
    reporter = Progress(is_quiet, is_terminal=False)
    for label, seconds in (("looks", 2), ("embeddings", 3), ("embeddings", 4)):
        with reporter.steps(1, label):
            clock[0] += seconds
    with reporter.step("exporting"):
        clock[0] += 5
    assert reporter.seconds == {"inspecting files": 2, "extracting features": 7, "exporting": 5}
    assert next(iter(reporter.seconds)) == "inspecting files"


def test_progress_and_log_are_json_lines(clock: list[float], capsys: Capture) -> None:
    set_up_logging(is_quiet=False, is_json=True)
    reporter = Progress(is_terminal=True, is_json=True)
    with reporter.steps(4, "pictures") as advance:
        clock[0] += 2
        advance(1)
        log.warning("a `line`\nof the log")
        clock[0] += 3
        advance(1)
    with reporter.step("exporting"):
        clock[0] += 0.5
    reporter.epoch("fine-tuning", 2, 9, {"loss": 0.5, "val_loss": None})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all(line.pop("time").endswith("+00:00") for line in lines)
    step_line = {"event": "step", "step": "decoding", "total": 4}
    log_line = {"event": "log", "level": "warning", "message": "a `line`\nof the log"}
    export_line = {
        "event": "step",
        "step": "exporting",
        "total": None,
        "done": 0,
        "eta_seconds": None,
    }
    epoch_line = {"event": "epoch", "phase": "fine-tuning", "epoch": 2, "epochs": 9}
    assert lines == [
        {**step_line, "done": 0, "eta_seconds": None},
        {**step_line, "done": 1, "eta_seconds": None},
        log_line,
        {**step_line, "done": 2, "eta_seconds": 6.0},
        {**step_line, "done": 2, "eta_seconds": 6.0, "seconds": 5.0},
        export_line,
        {**export_line, "seconds": 0.5},
        {**epoch_line, "loss": 0.5, "val_loss": None},
    ]


def test_quiet_hides_all_but_warnings(capsys: Capture) -> None:
    set_up_logging(is_quiet=True)
    log.info("fine")
    log.warning("careful")
    reporter = Progress(is_quiet=True, is_terminal=True, is_json=True)
    with reporter.steps(1, "decoding") as advance:
        advance(1)
    with reporter.step("exporting"):
        pass
    reporter.epoch("fine-tuning", 1, 2, {"loss": 0.5})
    assert capsys.readouterr().err == "careful\n"
