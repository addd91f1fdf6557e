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


def tar(files: dict[str, bytes] = FILES) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: dict[str, bytes] = FILES, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def put(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(content)
    return path


def read(path: Path) -> dict[str, bytes]:
    return {member.name: member.content.read() for member in iter_members(path) if member.content}


@pytest.mark.parametrize(
    "content",
    [tar(), gzip.compress(tar()), bz2.compress(tar()), zipped()],
    ids=["tar", "gzip", "bzip2", "Zip"],
)
def test_every_kind_of_archive_is_read(tmp_path: Path, content: bytes) -> None:
    assert read(put(tmp_path, content)) == FILES


def test_a_zip_inside_a_tar_is_a_member_of_the_tar(tmp_path: Path) -> None:
    """`is_zipfile` looks for a signature near the end, and finds that of the inner archive."""
    inner = {"originals.zip": zipped({"x/1.jpg": b"other"})}
    assert set(read(put(tmp_path, tar({**FILES, **inner})))) == {*FILES, "originals.zip"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "content",
    [
        flipped(tar(), tar().index(b"b/3.jpg") + 2),
        flipped(gzip.compress(tar()), -6),
        flipped(bz2.compress(tar()), len(bz2.compress(tar())) // 2),
        flipped(zipped(method=zipfile.ZIP_BZIP2), 60),
    ],
    ids=["a header", "gzip", "bzip2", "a Zip by bzip2"],
)
def test_a_damaged_archive_is_refused_and_not_unpacked(tmp_path: Path, content: bytes) -> None:
    """`tarfile` takes a damaged header for the end, and does not check the checksum of gzip."""
    with pytest.raises(DataError, match="is damaged or cut short"):
        unpack(put(tmp_path, content))
    assert not [path for path in (tmp_path / "cache").glob("archives/*") if path.is_dir()]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("content", [tar({}), zipped({}), zipped({"folder/": b""})])
def test_an_archive_without_files_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="has no files"):
        unpack(put(tmp_path, content))


@pytest.mark.usefixtures("home")
def test_names_that_cannot_be_stored_are_left_out(tmp_path: Path) -> None:
    odd = {"c": b"1", "c/1.jpg": b"2", "d/" + "x" * 300: b"3"}
    folder = unpack(put(tmp_path, tar({**FILES, **odd})))
    stored = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert stored == {*FILES, "c"}
