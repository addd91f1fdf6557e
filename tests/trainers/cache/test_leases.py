from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainers.cache.leases import Leases


def test_leases_are_visible_to_other_runs_until_released(
    own_leases: Leases, other_leases: Leases
) -> None:
    own_leases.reserve("a", 5)
    own_leases.reserve("b", 0)
    assert other_leases.reserved_by_others() == {"a": 5, "b": 0}
    assert own_leases.reserved_by_others() == {}
    own_leases.reserve("a", 3)
    assert other_leases.reserved_by_others() == {"a": 3, "b": 0}
    own_leases.release()
    own_leases.reserve("a", 1)  # by a background thread that ends late
    assert other_leases.reserved_by_others() == {}
    assert own_leases.reserved == {}


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


def test_lease_and_workspace_of_a_killed_run_are_removed(
    tmp_path: Path, own_leases: Leases
) -> None:
    (tmp_path / ".leases").mkdir()
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False).returncode == -9
    assert len(list((tmp_path / "out").glob(".graft-*.partial"))) == 1
    assert own_leases.reserved_by_others() == {}
    assert list((tmp_path / "out").glob(".graft-*.partial")) == []
    assert list((tmp_path / ".leases").iterdir()) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ESTALE])
def test_leases_that_cannot_be_locked_count_as_in_use(
    own_leases: Leases, other_leases: Leases, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "lock")

    other_leases.reserve("a", 5)
    monkeypatch.setattr("trainers.cache.leases.file_lock", refuse)
    assert own_leases.reserved_by_others() == {"a": 5}


@pytest.mark.parametrize("content", ["", "{"])
def test_a_truncated_lease_reserves_nothing(
    tmp_path: Path, own_leases: Leases, other_leases: Leases, content: str
) -> None:
    other_leases.reserve("a", 5)
    (path,) = (tmp_path / ".leases").glob("*.json")
    path.write_text(content)
    assert own_leases.reserved_by_others() == {}
    other_leases.release()
    assert own_leases.reserved_by_others() == {}
