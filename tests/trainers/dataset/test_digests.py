from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from service.errors import PayloadTooLarge
from trainers.cache.array_cache import Cache
from trainers.dataset import digests
from trainers.dataset.digests import hash_files, read_file, read_unchanged
from trainers.dataset.folders.errors import DataError


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.jpg" for number in range(5)]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that the test reads, in order."""
    names: list[str] = []
    read = digests.read_file

    def read_and_record(path: Path) -> bytes:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(digests, "read_file", read_and_record)
    return names


@pytest.fixture
def a_minute_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock a minute ahead, so that no file counts as just changed."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 60_000_000_000)


def hashes(paths: list[Path], cache: Cache) -> list[str]:
    def fail(row: int, error: Exception) -> None:
        raise AssertionError((row, error))

    return hash_files(paths, fail, cache)


def expected(paths: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


@pytest.mark.usefixtures("a_minute_later")
def test_an_unchanged_file_is_read_once(files: list[Path], cache: Cache, reads: list[str]) -> None:
    assert hashes(files, cache) == expected(files)
    assert sorted(reads) == [path.name for path in files]
    reads.clear()
    assert hashes(files[::-1], cache) == expected(files[::-1])
    assert reads == []


@pytest.mark.usefixtures("a_minute_later")
@pytest.mark.parametrize("change", ["written", "same time", "replaced", "renamed", "swapped"])
def test_a_changed_file_is_read_again(
    files: list[Path], cache: Cache, reads: list[str], change: str
) -> None:
    hashes(files, cache)
    reads.clear()
    times = files[2].stat()
    if change in {"written", "same time"}:
        files[2].write_bytes(b"2.gif")  # of the same length
    if change == "same time":
        os.utime(files[2], ns=(times.st_atime_ns, times.st_mtime_ns))
    if change == "replaced":
        other = files[2].with_name("other")
        other.write_bytes(b"2.gif")
        os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
        other.replace(files[2])
    if change == "renamed":
        files[2] = files[2].rename(files[2].with_name("renamed.jpg"))
    if change == "swapped":
        spare = files[2].rename(files[2].with_name("spare"))
        files[3].rename(files[2])
        spare.rename(files[3])
    assert hashes(files, cache) == expected(files)
    assert set(reads) == {files[2].name, *([files[3].name] if change == "swapped" else [])}


def test_a_file_changed_a_moment_ago_is_read_again(
    files: list[Path], cache: Cache, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of a file system has steps of 4 ms to 2 s: it may miss a second change."""
    hashes(files, cache)
    stat = Path.stat
    times = {path: path.stat() for path in files}
    files[1].write_bytes(b"1.gif")
    monkeypatch.setattr(Path, "stat", lambda path: times.get(path) or stat(path))
    reads.clear()
    assert hashes(files, cache)[1] == hashlib.sha256(b"1.gif").hexdigest()
    assert len(reads) == 5


@pytest.mark.usefixtures("a_minute_later")
def test_a_failure_is_not_cached(files: list[Path], cache: Cache, reads: list[str]) -> None:
    errors: dict[int, Exception] = {}
    gone = files[0].rename(files[0].with_name("gone"))
    files[0].mkdir()  # it can be examined, but not read
    result = hash_files(files, errors.__setitem__, cache)
    assert result[0] == ""
    assert result[1:] == expected(files[1:])
    assert isinstance(errors[0], IsADirectoryError)
    files[0].rmdir()
    assert hash_files(files, errors.__setitem__, cache)[0] == ""
    assert isinstance(errors[0], FileNotFoundError)
    gone.rename(files[0])
    reads.clear()
    assert hashes(files, cache) == expected(files)
    assert reads == ["0.jpg"]


def test_files_of_size_zero_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait_for_ever(_: Path) -> bytes:
        raise AssertionError("a reader of /proc/kmsg waits for ever")

    monkeypatch.setattr(Path, "read_bytes", wait_for_ever)
    (tmp_path / "1.jpg").touch()
    assert read_file(tmp_path / "1.jpg") == b""


def test_too_large_files_are_not_read(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "MAX_FILE_BYTES", 4)
    with pytest.raises(PayloadTooLarge, match="5 bytes, more than the limit"):
        read_file(files[0])


def test_a_changed_file_is_refused(files: list[Path]) -> None:
    (digest,) = expected(files[:1])
    assert read_unchanged(files[0], digest) == b"0.jpg"
    files[0].write_bytes(b"other")
    with pytest.raises(
        DataError, match=r"0\.jpg was changed after the folder was read: wait until"
    ):
        read_unchanged(files[0], digest)
    files[0].unlink()
    with pytest.raises(DataError, match=r"0\.jpg was changed after .*No such file"):
        read_unchanged(files[0], digest)
