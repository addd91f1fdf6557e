from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from service.errors import PayloadTooLarge
from trainers.cache.array_cache import Cache
from trainers.dataset import digests
from trainers.dataset.digests import of_files, read_file, read_unchanged
from trainers.dataset.scanning import DataError


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.jpg" for number in range(5)]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read, from now on."""
    names: list[str] = []
    read = digests.read_file

    def noted(path: Path) -> bytes:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(digests, "read_file", noted)
    return names


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute later, as far as anybody can tell."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 60_000_000_000)


def hashes(paths: list[Path], cache: Cache) -> list[str]:
    def complain(row: int, error: Exception) -> None:
        raise AssertionError((row, error))

    return of_files(paths, complain, cache)


def expected(paths: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


@pytest.mark.usefixtures("settled")
def test_what_did_not_change_is_read_once(
    files: list[Path], cache: Cache, reads: list[str]
) -> None:
    assert hashes(files, cache) == expected(files)
    assert sorted(reads) == [path.name for path in files]
    reads.clear()
    assert hashes(files[::-1], cache) == expected(files[::-1])
    assert reads == []


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("how", ["written", "same time", "replaced", "renamed", "swapped"])
def test_what_changed_is_read_again(
    files: list[Path], cache: Cache, reads: list[str], how: str
) -> None:
    hashes(files, cache)
    reads.clear()
    times = files[2].stat()
    if how in {"written", "same time"}:
        files[2].write_bytes(b"2.gif")  # as long as before
    if how == "same time":
        os.utime(files[2], ns=(times.st_atime_ns, times.st_mtime_ns))
    if how == "replaced":
        other = files[2].with_name("other")
        other.write_bytes(b"2.gif")
        os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
        other.replace(files[2])
    if how == "renamed":
        files[2] = files[2].rename(files[2].with_name("renamed.jpg"))
    if how == "swapped":
        spare = files[2].rename(files[2].with_name("spare"))
        files[3].rename(files[2])
        spare.rename(files[3])
    assert hashes(files, cache) == expected(files)
    assert set(reads) == {files[2].name, *([files[3].name] if how == "swapped" else [])}


def test_what_changed_a_moment_ago_is_read_again(
    files: list[Path], cache: Cache, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock of 4 ms, or of 2 s, shows no second change within that time."""
    hashes(files, cache)
    stat = Path.stat
    times = {path: path.stat() for path in files}
    files[1].write_bytes(b"1.gif")
    monkeypatch.setattr(Path, "stat", lambda path: times.get(path) or stat(path))  # it stood still
    reads.clear()
    assert hashes(files, cache)[1] == hashlib.sha256(b"1.gif").hexdigest()
    assert len(reads) == 5


@pytest.mark.usefixtures("settled")
def test_a_failure_is_not_kept(files: list[Path], cache: Cache, reads: list[str]) -> None:
    complaints: dict[int, Exception] = {}
    gone = files[0].rename(files[0].with_name("gone"))
    files[0].mkdir()  # may be looked at, and not read
    found = of_files(files, complaints.__setitem__, cache)
    assert found[0] == ""
    assert found[1:] == expected(files[1:])
    assert isinstance(complaints[0], IsADirectoryError)
    files[0].rmdir()
    assert of_files(files, complaints.__setitem__, cache)[0] == ""
    assert isinstance(complaints[0], FileNotFoundError)
    gone.rename(files[0])
    reads.clear()
    assert hashes(files, cache) == expected(files)
    assert reads == ["0.jpg"]


def test_what_says_that_it_is_empty_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait_for_ever(_: Path) -> bytes:
        raise AssertionError("a reader of /proc/kmsg waits for ever")

    monkeypatch.setattr(Path, "read_bytes", wait_for_ever)
    (tmp_path / "1.jpg").touch()
    assert read_file(tmp_path / "1.jpg") == b""


def test_what_is_larger_than_any_picture_is_not_read(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "MAX_FILE_BYTES", 4)
    with pytest.raises(PayloadTooLarge, match="5 bytes: larger than any picture"):
        read_file(files[0])


def test_bytes_that_changed_are_refused(files: list[Path]) -> None:
    (digest,) = expected(files[:1])
    assert read_unchanged(files[0], digest) == b"0.jpg"
    files[0].write_bytes(b"other")
    with pytest.raises(DataError, match=r"0\.jpg changed while the folder was read: run again"):
        read_unchanged(files[0], digest)
    files[0].unlink()
    with pytest.raises(DataError, match=r"0\.jpg changed while .*No such file"):
        read_unchanged(files[0], digest)
