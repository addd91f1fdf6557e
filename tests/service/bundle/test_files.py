from __future__ import annotations

from pathlib import Path

import pytest

from service.bundle.files import FileRecord, fsync, verify_file
from service.errors import BundleError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(b"content")
    return tmp_path


def test_a_record_describes_the_bytes(folder: Path) -> None:
    record = FileRecord.from_path(folder / "a")
    assert record == FileRecord.from_bytes(b"content")
    assert record != FileRecord.from_bytes(b"Content")
    assert record.size_bytes == 7
    verify_file(folder, "a", record)


@pytest.mark.parametrize(
    ("name", "message"),
    [("b", "b is missing"), ("../a", "outside the bundle"), ("/a", "outside the bundle")],
)
def test_missing_files_and_files_outside_are_refused(folder: Path, name: str, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        verify_file(folder, name, FileRecord.from_bytes(b"content"))


def test_changed_content_is_refused(folder: Path) -> None:
    with pytest.raises(BundleError, match="a was altered"):
        verify_file(folder, "a", FileRecord.from_bytes(b"contenT"))


def test_files_and_folders_are_flushed(folder: Path) -> None:
    fsync(folder / "a")
    fsync(folder)
    with pytest.raises(FileNotFoundError):
        fsync(folder / "b")
