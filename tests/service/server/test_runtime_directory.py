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
from service.server import runtime_directory, slots
from service.server.runtime_directory import VARIABLE, create, enter
from service.server.slots import KINDS, RESERVED_BYTES

ROOT = Path(__file__).parents[3]
SERVICE = """
import os, sys
from pathlib import Path
from service.server import runtime_directory, slots
runtime_directory._MEMORY = Path(sys.argv[1])
runtime_directory.create(1)
print(os.environ[runtime_directory.VARIABLE], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where directories of services are made."""
    monkeypatch.setenv(VARIABLE, "")  # to be as it was, afterwards
    monkeypatch.setattr(runtime_directory, "_MEMORY", tmp_path)
    return tmp_path


@contextmanager
def another_service(place: Path) -> Iterator[Path]:
    """The directory of a service that runs until it is killed."""
    command = [sys.executable, "-c", SERVICE, str(place)]
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


def test_every_byte_has_its_place_on_the_disk_before_a_worker_starts(place: Path) -> None:
    """A page of a mapped file that finds the disk full kills its process."""
    create(2)
    (path,) = place.iterdir()
    for slot in (0, 1):
        for kind in KINDS:
            found = (path / f"{kind}_{slot}.db").stat()
            assert found.st_size == RESERVED_BYTES <= found.st_blocks * 512
    assert path.stat().st_mode & 0o777 == 0o700


def test_services_have_directories_of_their_own_and_only_a_killed_one_s_is_removed(
    place: Path,
) -> None:
    with another_service(place) as theirs:
        create(1)
        ours = Path(os.environ[VARIABLE])
        assert theirs != ours
        assert {theirs, ours} == set(place.iterdir())
    create(1)
    assert not theirs.exists()
    assert ours.exists()


def test_a_worker_that_outlives_its_parent_keeps_the_directory(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with another_service(place) as theirs:
        monkeypatch.setenv(VARIABLE, str(theirs))
        worker = enter()
    assert worker
    create(1)
    assert theirs.exists()


def test_what_is_not_a_services_directory_stays(place: Path) -> None:
    (place / "graft-service-x").mkdir()
    (place / "graft-service-y").write_bytes(b"")
    create(1)
    assert (place / "graft-service-x").exists()
    assert (place / "graft-service-y").exists()


def test_workers_have_slots_of_their_own_and_more_than_were_expected_get_one(place: Path) -> None:
    create(1)
    workers = [enter(), enter()]
    assert [worker and worker.slot for worker in workers] == [0, 1]


def test_where_memory_has_no_room_it_lies_among_the_temporary_files(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_directory, "_MEMORY", place / "missing")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    create(1)
    assert Path(os.environ[VARIABLE]).parent == place


def test_where_there_is_no_room_at_all_workers_share_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with full_disk():
        create(2)
    assert "each worker shows its own figures" in caplog.text
    assert VARIABLE not in os.environ
    assert list(place.iterdir()) == []
    assert enter() is None


def test_a_worker_for_whom_there_is_no_room_shares_nothing(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create(1)
    first = enter()
    with full_disk():
        assert enter() is None
    assert "this worker shows its own figures alone" in caplog.text
    assert first
    assert all("_0.db" in name for name in first.files())
    assert (second := enter())  # once there is room again
    assert second.slot == 1


def test_room_for_more_is_there_or_is_not(place: Path) -> None:
    create(1)
    worker = enter()
    assert worker
    path = worker.path / "counter_0.db"
    with full_disk():
        assert worker.reserve("counter", RESERVED_BYTES - 8)
        assert not worker.reserve("counter", RESERVED_BYTES + 1)
        assert path.stat().st_size == RESERVED_BYTES
    assert worker.reserve("counter", RESERVED_BYTES + 1)
    assert path.stat().st_size == 2 * RESERVED_BYTES <= path.stat().st_blocks * 512


def test_no_folder_for_temporary_files_is_said(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gettempdir() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", gettempdir)
    with pytest.raises(SettingError, match=r"found in .*'/tmp'.*: make room there, or name one"):
        create(1)


def test_the_last_reload_is_told_also_on_a_full_disk(directory: Any) -> None:
    assert directory.announced() is None
    with full_disk():
        directory.announce("0123456789ab")
        first = directory.announced()
    assert first[1] == "0123456789ab"
    directory.announce("ba9876543210")
    assert directory.announced()[1] == "ba9876543210"
    assert directory.announced() != first


def test_a_worker_without_a_parent_or_whose_directory_is_gone_shares_nothing(
    directory: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """systemd-logind empties /dev/shm of a user who logs out, cleaners take old files in /tmp."""
    shutil.rmtree(directory.path)
    assert enter() is None
    assert not directory.path.exists()
    assert "this worker shows its own figures alone" in caplog.text
    monkeypatch.delenv(VARIABLE)
    assert enter() is None


def test_figures_are_found_where_no_lock_can_be_made(
    directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold(path: Path, wait: bool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(slots, "hold", hold)
    assert len(directory.files()) == 2 * len(KINDS)
