from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from trainers.cli.log_output import log_for_caller
from trainers.progress import log

ROOT = Path(__file__).parents[3]


def test_warnings_and_library_logs_are_json_lines() -> None:
    """In another process, because pytest captures warnings and logs."""
    code = """
import logging, sys, warnings
sys.path.insert(0, ".")
from trainers.cli.log_output import set_up_logging
set_up_logging(is_quiet=False, is_json=True)
warnings.warn("classes are many")
logging.getLogger("tensorflow").warning("graphs are deep")
raise ValueError("a bug")
"""
    command = [sys.executable, "-c", code]
    completed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    messages = [json.loads(line)["message"] for line in completed.stderr.splitlines()]
    assert len(messages) == 3
    assert "classes are many" in messages[0]
    assert messages[1] == "graphs are deep"
    assert messages[2].endswith("ValueError: a bug")
    assert completed.returncode == 1


def test_nothing_is_printed_unless_verbose() -> None:
    code = """
import sys
from absl import logging as absl
from trainers.cli.log_output import log_for_caller
from trainers.progress import log
with log_for_caller(is_verbose=False):
    absl.warning("absl adds a handler if there is none")
    log.warning("few pictures")
print("handlers:", log.handlers)
"""
    command = [sys.executable, "-c", code]
    completed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert (completed.stdout, completed.stderr) == ("handlers: []\n", "")


@pytest.fixture(autouse=True)
def _fresh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a log without handlers, as in a new process."""
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "propagate", True)


def test_verbose_prints_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    state = log.handlers[:], log.level, logging.getLogger().handlers[:]
    with log_for_caller(is_verbose=True):
        log.info("14 pictures")
    assert capsys.readouterr().err == "14 pictures\n"
    assert (log.handlers, log.level, logging.getLogger().handlers) == state


def test_handlers_of_the_caller_get_the_messages(caplog: pytest.LogCaptureFixture) -> None:
    with log_for_caller(is_verbose=False):
        log.warning("few pictures")
    assert caplog.messages == ["few pictures"]
