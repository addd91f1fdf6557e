from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from service.system.locks import file_lock
from trainers.workspace import WorkspaceError, disk_array, remove_abandoned, workspace


def list_partial(output: Path) -> list[Path]:
    return list(output.glob(".graft-*.partial"))


def test_the_folder_is_gone_after_the_work(tmp_path: Path) -> None:
    with workspace(tmp_path / "out") as folder:
        (folder / "big").write_bytes(b"x")
        assert folder.parent == tmp_path / "out"
    assert list_partial(tmp_path / "out") == []


def test_the_folder_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), workspace(tmp_path):
        raise RuntimeError
    assert list_partial(tmp_path) == []


def test_two_runs_do_not_disturb_each_other(tmp_path: Path) -> None:
    with workspace(tmp_path) as first_folder:
        (first_folder / "mine").touch()
        with workspace(tmp_path) as second_folder:
            assert first_folder != second_folder
        assert (first_folder / "mine").exists()


def test_the_folder_of_a_killed_run_is_removed_by_the_next(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from trainers.workspace import workspace
with workspace(Path({str(tmp_path)!r})) as folder:
    (folder / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(list_partial(tmp_path)) == 1
    with workspace(tmp_path) as folder:
        assert list_partial(tmp_path) == [folder]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_locked_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "lock")

    other = tmp_path / ".graft-other.partial"
    other.mkdir()
    monkeypatch.setattr("trainers.workspace.file_lock", refuse)
    remove_abandoned(other)
    assert other.is_dir()


def test_an_output_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:  # faked, because root may write everywhere
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(WorkspaceError, match=r"--output .* cannot be written to: .*; free space"):
        workspace(tmp_path).__enter__()


def test_an_output_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match=r"--output .*file cannot be created"):
        workspace(tmp_path / "file").__enter__()


def test_an_array_is_stored_in_its_file(tmp_path: Path) -> None:
    array = disk_array(tmp_path / "a.f32", np.float32, (3, 2))
    assert (array == 0).all()
    array[2, 1] = 5
    del array
    assert np.fromfile(tmp_path / "a.f32", np.float32).tolist() == [0, 0, 0, 0, 0, 5]


def test_a_full_disk_is_reported_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(WorkspaceError, match=r"a\.f32 needs 0\.40 GB .*No space left on device"):
        disk_array(tmp_path / "a.f32", np.float32, (100_000_000,))


def test_a_run_that_ends_waits_for_a_run_that_starts(tmp_path: Path) -> None:
    context = workspace(tmp_path)
    folder = context.__enter__()
    thread = Thread(target=context.__exit__, args=(None, None, None))
    with file_lock(tmp_path / ".graft.lock", wait=True):  # a starting run holds this lock
        thread.start()
        thread.join(0.3)
        assert (folder / "lock").exists()
    thread.join()
    assert list_partial(tmp_path) == []


def test_a_folder_that_vanishes_does_not_stop_a_run(tmp_path: Path) -> None:
    # A broken link is listed, but it does not exist.
    (tmp_path / ".graft-x.partial").symlink_to(tmp_path / "nowhere")
    with workspace(tmp_path) as folder:
        assert folder.is_dir()


@pytest.mark.slow
def test_runs_that_end_do_not_disturb_those_that_start(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from trainers.workspace import workspace
for _ in range(100):
    with workspace(Path({str(tmp_path)!r})) as folder:
        for number in range(100):  # removing them takes about as long as starting a run
            (folder / str(number)).touch()
"""
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[1] for process in processes] == ["", "", ""]
    assert list_partial(tmp_path) == []
