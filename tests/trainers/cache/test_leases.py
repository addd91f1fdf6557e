from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainers.cache.leases import Leases


def write_store(folder: Path, name: str, size_bytes: int) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "records").write_bytes(b"x" * size_bytes)


@pytest.fixture
def own(tmp_path: Path) -> Leases:
    return Leases(tmp_path, tmp_path / "work")


@pytest.fixture
def another(tmp_path: Path) -> Leases:
    return Leases(tmp_path, tmp_path / "other-work")


def test_leases_are_visible_to_other_runs_until_released(own: Leases, another: Leases) -> None:
    own.reserve("a", 5)
    own.reserve("b", 0)
    assert another.reserved_by_others() == {"a": 5, "b": 0}
    assert own.reserved_by_others() == {}
    own.reserve("a", 3)
    assert another.reserved_by_others() == {"a": 3, "b": 0}
    own.release()
    own.reserve("a", 1)  # a background thread that is late
    assert another.reserved_by_others() == {}
    assert own.reserved == {}


def test_reserved_bytes_are_not_available_to_others(
    tmp_path: Path, own: Leases, another: Leases
) -> None:
    assert own.make_room("a", 60, 0, 100) is True
    assert another.make_room("b", 60, 0, 100) is False
    assert another.reserved == {}
    assert another.make_room("b", 40, 0, 100) is True
    assert list(tmp_path.glob("[!.]*")) == []


def test_nothing_is_evicted_unless_it_makes_enough_room(
    tmp_path: Path, own: Leases, another: Leases
) -> None:
    write_store(tmp_path, "old", 50)
    write_store(tmp_path, "used", 50)
    another.reserve("used", 0)
    assert own.make_room("new", 60, 0, 100) is False
    assert (tmp_path / "old").is_dir()
    assert own.make_room("new", 50, 0, 100) is True
    assert not (tmp_path / "old").exists()
    assert (tmp_path / "used").is_dir()


def test_a_store_that_this_run_is_filling_is_not_evicted(tmp_path: Path, own: Leases) -> None:
    write_store(tmp_path, "filling", 50)
    write_store(tmp_path, "full", 50)
    own.reserve("filling", 10)
    own.reserve("full", 0)
    assert own.make_room("new", 80, 0, 130) is False
    assert own.make_room("new", 60, 0, 120) is True
    assert (tmp_path / "filling").is_dir()
    assert not (tmp_path / "full").exists()


def test_stores_without_keys_count_and_are_evicted(tmp_path: Path, own: Leases) -> None:
    write_store(tmp_path, "killed", 90)
    assert own.make_room("new", 60, 0, 100) is True
    assert not (tmp_path / "killed").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from trainers.cache.leases import Leases
from trainers.workspace import workspace
with workspace(Path(sys.argv[1], "out")) as work:
    (work / "maps").write_bytes(b"large")
    Leases(Path(sys.argv[1]), work).reserve("a", 5)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_lease_and_workspace_of_a_killed_run_are_removed(tmp_path: Path, own: Leases) -> None:
    (tmp_path / ".leases").mkdir()
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False).returncode == -9
    assert len(list((tmp_path / "out").glob(".graft-*.partial"))) == 1
    assert own.reserved_by_others() == {}
    assert list((tmp_path / "out").glob(".graft-*.partial")) == []
    assert list((tmp_path / ".leases").iterdir()) == []


@pytest.mark.parametrize("content", ["", "{"])
def test_a_truncated_lease_reserves_nothing(
    tmp_path: Path, own: Leases, another: Leases, content: str
) -> None:
    another.reserve("a", 5)
    (path,) = (tmp_path / ".leases").glob("*.json")
    path.write_text(content)
    assert own.reserved_by_others() == {}
    another.release()
    assert own.reserved_by_others() == {}
