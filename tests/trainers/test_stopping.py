from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from trainers.config import TrainingConfig
from trainers.progress import log, set_up_logging
from trainers.stopping import KEPT, RESUME, LastWords


@pytest.fixture(autouse=True)
def logging_as_it_was() -> object:
    kept = log.handlers, log.level, log.propagate
    set_up_logging(is_quiet=False)
    yield
    log.handlers, log.propagate = kept[0], kept[2]
    log.setLevel(kept[1])


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list of records of a shelf in a cache of the test's own; not there yet."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/arrays/embeddings-0/keys"


def config(tmp_path: Path, **options: object) -> TrainingConfig:
    return TrainingConfig(plugin="vgg", output=tmp_path / "out", **options)


def write(path: Path, time_ns: int = 10**18) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    os.utime(path, ns=(time_ns, time_ns))


def test_nothing_is_promised_before_there_is_anything(tmp_path: Path, shelf: Path) -> None:
    words = LastWords()
    assert words() == "graft: stopped; no half bundle is left"
    words.watch(config(tmp_path))
    assert words() == "graft: stopped; no half bundle is left"


def test_what_an_older_run_left_is_not_promised(tmp_path: Path, shelf: Path) -> None:
    words, one = LastWords("stopped"), config(tmp_path)
    write(shelf)
    write(one.checkpoint)
    words.watch(one)
    assert words() == "graft: stopped"


def test_computed_features_and_then_an_epoch_are_promised(tmp_path: Path, shelf: Path) -> None:
    words, one = LastWords("stopped"), config(tmp_path)
    write(one.checkpoint)
    words.watch(one)
    write(shelf)
    assert words() == f"graft: stopped; {KEPT}"
    write(one.checkpoint, 2 * 10**18)
    assert words() == f"graft: stopped; {RESUME}"


def test_a_cache_that_keeps_nothing_promises_nothing(tmp_path: Path, shelf: Path) -> None:
    words = LastWords("stopped")
    words.watch(config(tmp_path, cache_gigabytes=0))
    write(shelf)
    assert words() == "graft: stopped"


def test_a_resumed_run_can_be_resumed_again_at_once(tmp_path: Path, shelf: Path) -> None:
    words, one = LastWords("stopped"), config(tmp_path, resume=True)
    words.watch(one)
    assert words() == "graft: stopped"
    write(one.checkpoint)
    words.watch(one)
    assert words() == f"graft: stopped; {RESUME}"


def test_they_are_json_where_the_log_is(tmp_path: Path) -> None:
    set_up_logging(is_quiet=False, is_json=True)
    said = json.loads(LastWords("stopped")())
    assert (said["event"], said["level"]) == ("log", "error")
    assert said["message"] == "graft: stopped"
