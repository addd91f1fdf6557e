from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from trainers.dataset.folders.archive_members import iter_members
from trainers.dataset.folders.archives import unpack
from trainers.dataset.folders.errors import DataError

FILES = {f"{label}/{number}.jpg": bytes([number]) * 700 for label in "ab" for number in range(9)}


def make_tar(files: dict[str, bytes] = FILES) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def make_zip(files: dict[str, bytes] = FILES, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def write_archive(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(content)
    return path


def read_members(path: Path) -> dict[str, bytes]:
    return {member.name: member.content.read() for member in iter_members(path) if member.content}


@pytest.mark.parametrize(
    "content",
    [make_tar(), gzip.compress(make_tar()), bz2.compress(make_tar()), make_zip()],
    ids=["tar", "gzip", "bzip2", "Zip"],
)
def test_every_kind_of_archive_is_read(tmp_path: Path, content: bytes) -> None:
    assert read_members(write_archive(tmp_path, content)) == FILES


def test_a_zip_inside_a_tar_is_a_member_of_the_tar(tmp_path: Path) -> None:
    """`is_zipfile` looks for a signature near the end, and finds that of the inner archive."""
    inner = {"originals.zip": make_zip({"x/1.jpg": b"other"})}
    assert set(read_members(write_archive(tmp_path, make_tar({**FILES, **inner})))) == {
        *FILES,
        "originals.zip",
    }


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))


def flip_byte(content: bytes, offset: int) -> bytes:
    return content[:offset] + bytes([content[offset] ^ 0xFF]) + content[offset + 1 :]


@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize(
    "content",
    [
        flip_byte(make_tar(), make_tar().index(b"b/3.jpg") + 2),
        flip_byte(gzip.compress(make_tar()), -6),
        flip_byte(bz2.compress(make_tar()), len(bz2.compress(make_tar())) // 2),
        flip_byte(make_zip(method=zipfile.ZIP_BZIP2), 60),
    ],
    ids=["tar header", "gzip", "bzip2", "Zip with bzip2"],
)
def test_a_damaged_archive_is_refused_and_not_unpacked(tmp_path: Path, content: bytes) -> None:
    """`tarfile` treats a damaged header as the end of the archive, and ignores gzip's checksum."""
    with pytest.raises(DataError, match="is damaged or cut short"):
        unpack(write_archive(tmp_path, content))
    assert not [path for path in (tmp_path / "cache").glob("archives/*") if path.is_dir()]


@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize("content", [make_tar({}), make_zip({}), make_zip({"folder/": b""})])
def test_an_archive_without_files_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="has no files"):
        unpack(write_archive(tmp_path, content))


@pytest.mark.usefixtures("cache_folder")
def test_names_that_cannot_be_stored_are_left_out(tmp_path: Path) -> None:
    members = {"c": b"1", "c/1.jpg": b"2", "d/" + "x" * 300: b"3"}
    folder = unpack(write_archive(tmp_path, make_tar({**FILES, **members})))
    stored = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert stored == {*FILES, "c"}
