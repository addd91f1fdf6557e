from __future__ import annotations

import pytest

from trainers import progress
from trainers.progress import Progress, log, set_up_logging


@pytest.fixture(autouse=True)
def logging_as_it_was() -> object:
    kept = log.handlers, log.level, log.propagate
    yield
    log.handlers, log.propagate = kept[0], kept[2]
    log.setLevel(kept[1])


def test_items_pass_through_in_order() -> None:
    for is_quiet, is_terminal in ((True, False), (False, False), (False, True)):
        show = Progress(is_quiet, is_terminal)
        assert list(show.track(range(5), 5, "work")) == list(range(5))


def test_a_log_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging(is_quiet=False)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    list(Progress(is_terminal=False).track("ab", 2, "decoding"))
    assert capsys.readouterr().err == "decoding: step 1 of 2\ndecoding: step 2 of 2\n"


def test_a_terminal_gets_a_bar_with_the_log_above_it(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(is_quiet=False)
    with Progress(is_terminal=True).steps(2, "decoding") as advance:
        advance()
        log.info("half way")
        advance()
    shown = capsys.readouterr().err
    assert "decoding" in shown
    assert "100%" in shown
    assert "half way" in shown


def test_quiet_hides_all_but_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(is_quiet=True)
    log.info("fine")
    log.warning("careful")
    with Progress(is_quiet=True, is_terminal=True).steps(1, "decoding") as advance:
        advance()
    assert capsys.readouterr().err == "careful\n"
