from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainers.cache.leases import Leases


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
