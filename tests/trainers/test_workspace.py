from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainers.workspace import workspace


def partial(output: Path) -> list[Path]:
    return list(output.glob(".graft-*.partial"))


def test_the_folder_is_gone_after_the_work(tmp_path: Path) -> None:
    with workspace(tmp_path / "out") as folder:
        (folder / "big").write_bytes(b"x")
        assert folder.parent == tmp_path / "out"
    assert partial(tmp_path / "out") == []


def test_the_folder_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), workspace(tmp_path):
        raise RuntimeError
    assert partial(tmp_path) == []


def test_two_runs_do_not_disturb_each_other(tmp_path: Path) -> None:
    with workspace(tmp_path) as first:
        (first / "mine").touch()
        with workspace(tmp_path) as second:
            assert first != second
        assert (first / "mine").exists()


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from trainers.workspace import workspace
with workspace(Path({str(tmp_path)!r})) as folder:
    (folder / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(partial(tmp_path)) == 1
    with workspace(tmp_path) as folder:
        assert partial(tmp_path) == [folder]
