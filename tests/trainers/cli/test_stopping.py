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
def restore_logging() -> object:
    handlers, level, propagate = log.handlers, log.level, log.propagate
    set_up_logging(is_quiet=False)
    yield
    log.handlers, log.propagate = handlers, propagate
    log.setLevel(level)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the index in the cache of the test; the file does not exist yet."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/arrays/embeddings-0/keys"


def make_config(tmp_path: Path, **options: object) -> TrainingConfig:
    return TrainingConfig(plugin="vgg", output=tmp_path / "out", **options)


def write(path: Path, time_ns: int = 10**18) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    os.utime(path, ns=(time_ns, time_ns))


def test_nothing_is_promised_before_anything_is_saved(tmp_path: Path, index: Path) -> None:
    message = StopMessage()
    assert message() == "graft: stopped; no incomplete bundle is left"
    message.watch(make_config(tmp_path))
    assert message() == "graft: stopped; no incomplete bundle is left"


def test_files_of_an_older_run_are_not_promised(tmp_path: Path, index: Path) -> None:
    message, config = StopMessage("stopped"), make_config(tmp_path)
    write(index)
    write(config.checkpoint)
    message.watch(config)
    assert message() == "graft: stopped"


def test_saved_features_and_then_the_checkpoint_are_promised(tmp_path: Path, index: Path) -> None:
    message, config = StopMessage("stopped"), make_config(tmp_path)
    write(config.checkpoint)
    message.watch(config)
    write(index)
    assert message() == f"graft: stopped; {KEPT}"
    write(config.checkpoint, 2 * 10**18)
    assert message() == f"graft: stopped; {RESUME}"


def test_the_checkpoint_of_a_fold_is_promised(tmp_path: Path, index: Path) -> None:
    message, config = StopMessage("stopped"), make_config(tmp_path)
    message.watch(config)
    write(config.checkpoint.parent / "fold-1-of-2" / config.checkpoint.name)
    assert message() == f"graft: stopped; {RESUME}"


def test_without_a_cache_no_features_are_promised(tmp_path: Path, index: Path) -> None:
    message = StopMessage("stopped")
    message.watch(make_config(tmp_path, cache_gigabytes=0))
    write(index)
    assert message() == "graft: stopped"


def test_a_resumed_run_promises_its_checkpoint_at_once(tmp_path: Path, index: Path) -> None:
    message, config = StopMessage("stopped"), make_config(tmp_path, resume=True)
    message.watch(config)
    assert message() == "graft: stopped"
    write(config.checkpoint)
    message.watch(config)
    assert message() == f"graft: stopped; {RESUME}"


def test_the_message_is_json_if_the_log_is(tmp_path: Path) -> None:
    set_up_logging(is_quiet=False, is_json=True)
    line = json.loads(StopMessage("stopped")())
    assert (line["event"], line["level"]) == ("log", "error")
    assert line["message"] == "graft: stopped"
