from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.errors import SettingError
from service.server import runtime_directory, worker_slots
from service.server.runtime_directory import (
    DIRECTORY_VARIABLE,
    create_runtime_directory,
    join_runtime_directory,
)
from service.server.worker_slots import METRIC_FILE_TYPES, RESERVED_BYTES

ROOT = Path(__file__).parents[3]
SERVICE_SCRIPT = """
import os, sys
from pathlib import Path
from service.server import runtime_directory
runtime_directory._MEMORY_FOLDER = Path(sys.argv[1])
runtime_directory.create_runtime_directory(1)
print(os.environ[runtime_directory.DIRECTORY_VARIABLE], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def memory_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which services create their directories."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, "")  # restored afterwards
    monkeypatch.setattr(runtime_directory, "_MEMORY_FOLDER", tmp_path)
    return tmp_path


@contextmanager
def another_service(memory_folder: Path) -> Iterator[Path]:
    """The directory of a service that runs until it is killed."""
    command = [sys.executable, "-c", SERVICE_SCRIPT, str(memory_folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        yield Path(process.stdout.readline().strip())
        process.kill()


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 1,000 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_all_files_are_allocated_before_a_worker_starts(memory_folder: Path) -> None:
    """On a full disk, writing to a new page of a mapped file kills the process."""
    create_runtime_directory(2)
    (path,) = memory_folder.iterdir()
    for slot in (0, 1):
        for kind in METRIC_FILE_TYPES:
            status = (path / f"{kind}_{slot}.db").stat()
            assert status.st_size == RESERVED_BYTES <= status.st_blocks * 512
    assert path.stat().st_mode & 0o777 == 0o700


def test_only_the_directory_of_a_killed_service_is_removed(
    memory_folder: Path,
) -> None:
    with another_service(memory_folder) as other_directory:
        create_runtime_directory(1)
        own_directory = Path(os.environ[DIRECTORY_VARIABLE])
        assert other_directory != own_directory
        assert {other_directory, own_directory} == set(memory_folder.iterdir())
    create_runtime_directory(1)
    assert not other_directory.exists()
    assert own_directory.exists()


def test_a_worker_that_outlives_its_parent_keeps_the_directory(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with another_service(memory_folder) as other_directory:
        monkeypatch.setenv(DIRECTORY_VARIABLE, str(other_directory))
        worker = join_runtime_directory()
    assert worker
    create_runtime_directory(1)
    assert other_directory.exists()


def test_other_files_with_the_prefix_stay(memory_folder: Path) -> None:
    (memory_folder / "graft-service-x").mkdir()
    (memory_folder / "graft-service-y").write_bytes(b"")
    create_runtime_directory(1)
    assert (memory_folder / "graft-service-x").exists()
    assert (memory_folder / "graft-service-y").exists()


def test_each_worker_has_a_slot_even_beyond_the_expected_number(memory_folder: Path) -> None:
    create_runtime_directory(1)
    workers = [join_runtime_directory(), join_runtime_directory()]
    assert [worker and worker.slot for worker in workers] == [0, 1]


def test_without_shared_memory_the_directory_is_a_temporary_folder(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_directory, "_MEMORY_FOLDER", memory_folder / "missing")
    monkeypatch.setattr(tempfile, "tempdir", str(memory_folder))
    create_runtime_directory(1)
    assert Path(os.environ[DIRECTORY_VARIABLE]).parent == memory_folder


def test_without_any_space_workers_share_nothing(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(memory_folder))
    with full_disk():
        create_runtime_directory(2)
    assert "the workers cannot share a directory" in caplog.text
    assert DIRECTORY_VARIABLE not in os.environ
    assert list(memory_folder.iterdir()) == []
    assert join_runtime_directory() is None


def test_a_worker_without_space_shares_nothing(
    memory_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create_runtime_directory(1)
    worker = join_runtime_directory()
    with full_disk():
        assert join_runtime_directory() is None
    assert "this worker cannot share its metrics" in caplog.text
    assert worker
    assert all("_0.db" in name for name in worker.metrics_files())
    assert (next_worker := join_runtime_directory())  # once there is space again
    assert next_worker.slot == 1


def test_reserve_allocates_or_refuses(memory_folder: Path) -> None:
    create_runtime_directory(1)
    worker = join_runtime_directory()
    assert worker
    path = worker.path / "counter_0.db"
    with full_disk():
        assert worker.reserve("counter", RESERVED_BYTES - 8)
        assert not worker.reserve("counter", RESERVED_BYTES + 1)
        assert path.stat().st_size == RESERVED_BYTES
    assert worker.reserve("counter", RESERVED_BYTES + 1)
    assert path.stat().st_size == 2 * RESERVED_BYTES <= path.stat().st_blocks * 512


def test_a_missing_temporary_folder_is_an_error(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gettempdir() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", gettempdir)
    with pytest.raises(
        SettingError, match=r"found in .*'/tmp'.*: free some space there, or set TMPDIR"
    ):
        create_runtime_directory(1)


def test_a_reload_is_announced_even_on_a_full_disk(directory: Any) -> None:
    assert directory.last_reload() is None
    with full_disk():
        directory.announce_reload("0123456789ab")
        reload = directory.last_reload()
    assert reload[1] == "0123456789ab"
    directory.announce_reload("ba9876543210")
    assert directory.last_reload()[1] == "ba9876543210"
    assert directory.last_reload() != reload


def test_a_worker_without_a_directory_shares_nothing(
    directory: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """systemd-logind empties /dev/shm when a user logs out; cleaners remove old files in /tmp."""
    shutil.rmtree(directory.path)
    assert join_runtime_directory() is None
    assert not directory.path.exists()
    assert "this worker cannot share its metrics" in caplog.text
    monkeypatch.delenv(DIRECTORY_VARIABLE)
    assert join_runtime_directory() is None


def test_metrics_files_are_found_even_if_locks_fail(
    directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire_lock(path: Path, wait: bool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker_slots, "acquire_lock", acquire_lock)
    assert len(directory.metrics_files()) == 2 * len(METRIC_FILE_TYPES)
