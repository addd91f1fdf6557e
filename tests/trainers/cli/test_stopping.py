from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from trainers.cli.log_output import set_up_logging
from trainers.cli.stopping import KEPT, RESUME, StopMessage
from trainers.config import TrainingConfig
from trainers.progress import log


@pytest.fixture(autouse=True)
def logging_as_it_was() -> object:
    kept = log.handlers, log.level, log.propagate
    set_up_logging(is_quiet=False)
    yield
    log.handlers, log.propagate = kept[0], kept[2]
    log.setLevel(kept[1])


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the index of a cache of the test's own will be."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/arrays/embeddings-0/keys"


def config(tmp_path: Path, **options: object) -> TrainingConfig:
    return TrainingConfig(plugin="vgg", output=tmp_path / "out", **options)


def write(path: Path, time_ns: int = 10**18) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    os.utime(path, ns=(time_ns, time_ns))


def test_nothing_is_promised_before_there_is_anything(tmp_path: Path, index: Path) -> None:
    message = StopMessage()
    assert message() == "graft: stopped; no incomplete bundle is left"
    message.watch(config(tmp_path))
    assert message() == "graft: stopped; no incomplete bundle is left"


def test_what_an_older_run_left_is_not_promised(tmp_path: Path, index: Path) -> None:
    message, options = StopMessage("stopped"), config(tmp_path)
    write(index)
    write(options.checkpoint)
    message.watch(options)
    assert message() == "graft: stopped"


def test_computed_features_and_then_an_epoch_are_promised(tmp_path: Path, index: Path) -> None:
    message, options = StopMessage("stopped"), config(tmp_path)
    write(options.checkpoint)
    message.watch(options)
    write(index)
    assert message() == f"graft: stopped; {KEPT}"
    write(options.checkpoint, 2 * 10**18)
    assert message() == f"graft: stopped; {RESUME}"


def test_a_cache_that_keeps_nothing_promises_nothing(tmp_path: Path, index: Path) -> None:
    message = StopMessage("stopped")
    message.watch(config(tmp_path, cache_gigabytes=0))
    write(index)
    assert message() == "graft: stopped"


def test_a_resumed_run_can_be_resumed_again_at_once(tmp_path: Path, index: Path) -> None:
    message, options = StopMessage("stopped"), config(tmp_path, resume=True)
    message.watch(options)
    assert message() == "graft: stopped"
    write(options.checkpoint)
    message.watch(options)
    assert message() == f"graft: stopped; {RESUME}"


def test_the_message_is_json_if_the_log_is(tmp_path: Path) -> None:
    set_up_logging(is_quiet=False, is_json=True)
    line = json.loads(StopMessage("stopped")())
    assert (line["event"], line["level"]) == ("log", "error")
    assert line["message"] == "graft: stopped"
