from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainers.cache.leases import Leases


def shelf(folder: Path, name: str, size_bytes: int) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "records").write_bytes(b"x" * size_bytes)


@pytest.fixture
def one(tmp_path: Path) -> Leases:
    return Leases(tmp_path, tmp_path / "work")


@pytest.fixture
def other(tmp_path: Path) -> Leases:
    return Leases(tmp_path, tmp_path / "other-work")


def test_runs_know_of_each_other_until_their_end(one: Leases, other: Leases) -> None:
    one.take("a", 5)
    one.take("b", 0)
    assert other.others() == {"a": 5, "b": 0}
    assert one.others() == {}
    one.take("a", 3)
    assert other.others() == {"a": 3, "b": 0}
    one.end()
    one.take("a", 1)  # a thread that is late
    assert other.others() == {}
    assert one.own == {}


def test_room_that_is_promised_is_taken(tmp_path: Path, one: Leases, other: Leases) -> None:
    assert one.make_room("a", 60, 0, 100) is True
    assert other.make_room("b", 60, 0, 100) is False
    assert other.own == {}
    assert other.make_room("b", 40, 0, 100) is True
    assert list(tmp_path.glob("[!.]*")) == []


def test_nothing_is_removed_in_vain(tmp_path: Path, one: Leases, other: Leases) -> None:
    shelf(tmp_path, "old", 50)
    shelf(tmp_path, "used", 50)
    other.take("used", 0)
    assert one.make_room("new", 60, 0, 100) is False
    assert (tmp_path / "old").is_dir()
    assert one.make_room("new", 50, 0, 100) is True
    assert not (tmp_path / "old").exists()
    assert (tmp_path / "used").is_dir()


def test_a_shelf_that_this_run_is_filling_stays(tmp_path: Path, one: Leases) -> None:
    shelf(tmp_path, "filling", 50)
    shelf(tmp_path, "full", 50)
    one.take("filling", 10)
    one.take("full", 0)
    assert one.make_room("new", 80, 0, 130) is False
    assert one.make_room("new", 60, 0, 120) is True
    assert (tmp_path / "filling").is_dir()
    assert not (tmp_path / "full").exists()


def test_folders_that_a_kill_left_without_keys_count_and_go(tmp_path: Path, one: Leases) -> None:
    shelf(tmp_path, "killed", 90)
    assert one.make_room("new", 60, 0, 100) is True
    assert not (tmp_path / "killed").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from trainers.cache.leases import Leases
from trainers.workspace import workspace
with workspace(Path(sys.argv[1], "out")) as work:
    (work / "maps").write_bytes(b"large")
    Leases(Path(sys.argv[1]), work).take("a", 5)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_is_removed_by_the_next_whatever_its_output(
    tmp_path: Path, one: Leases
) -> None:
    (tmp_path / ".leases").mkdir()
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False).returncode == -9
    assert len(list((tmp_path / "out").glob(".graft-*.partial"))) == 1
    assert one.others() == {}
    assert list((tmp_path / "out").glob(".graft-*.partial")) == []
    assert list((tmp_path / ".leases").iterdir()) == []


@pytest.mark.parametrize("page", ["", "{"])
def test_a_lease_that_was_cut_short_says_nothing(
    tmp_path: Path, one: Leases, other: Leases, page: str
) -> None:
    other.take("a", 5)
    (path,) = (tmp_path / ".leases").glob("*.json")
    path.write_text(page)
    assert one.others() == {}
    other.end()
    assert one.others() == {}
