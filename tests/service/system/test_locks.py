from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.system.locks import NoLocksError, acquire_lock, file_lock


def test_a_lock_excludes_others_until_it_is_released(tmp_path: Path) -> None:
    lock = acquire_lock(tmp_path / "lock", wait=True)
    with pytest.raises(BlockingIOError, match="lock"), file_lock(tmp_path / "lock", wait=False):
        pass
    lock.release()
    with file_lock(tmp_path / "lock", wait=False):
        pass


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from service.system.locks import acquire_lock
lock = acquire_lock(Path(sys.argv[1]), wait=True)
print("held", flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(BlockingIOError):
            acquire_lock(tmp_path / "lock", wait=False)
        os.kill(process.pid, signal.SIGKILL)
    acquire_lock(tmp_path / "lock", wait=False).release()


@pytest.mark.parametrize("error_number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_reported(
    tmp_path: Path, error_number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(error_number, os.strerror(error_number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(NoLocksError, match=r"has no file locks .*local disk") as caught:
        acquire_lock(tmp_path / "lock", wait=True)
    assert str(tmp_path) in str(caught.value)
    assert "room" not in str(caught.value)


def test_a_file_that_cannot_be_opened_raises_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(IsADirectoryError):
        acquire_lock(tmp_path / "lock", wait=True)
