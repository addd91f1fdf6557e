from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from trainers.dataset.folders.errors import DataError
from trainers.dataset.scanning import scan
from trainers.dataset.tables.discovery import find_tables

TABLE = "path,label\nimages/1.jpg,cat\n2.jpg,dog\n"


def draw(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_table_of_a_folder_is_found(tmp_path: Path) -> None:
    files = {"pack/labels.csv": TABLE, "pack/images/1.jpg": "", "__MACOSX/labels.csv": "", ".x": ""}
    assert find_tables(draw(tmp_path, files)) == {tmp_path / "pack/labels.csv": ""}
    assert find_tables(draw(tmp_path / "none", {"1.jpg": "", "notes.txt": ""})) == {}


def test_split_folders_have_a_table_each(tmp_path: Path) -> None:
    data = draw(tmp_path, {"train/a.json": "", "valid/a.json": "", "test/1.jpg": "", "b.csv": ""})
    tables = {data / "train/a.json": "train", data / "valid/a.json": "validation"}
    assert find_tables(data) == tables
    (data / "valid/c.csv").touch()  # not clear which of the two has the labels
    assert find_tables(data) == {data / "b.csv": ""}


def test_several_tables_are_an_error(tmp_path: Path) -> None:
    data = draw(tmp_path, {"a.csv": "", "b.json": ""})
    assert find_tables(data) == {data / "a.csv": "", data / "b.json": ""}
    message = r"several tables \(a\.csv, b\.json\): .*e\.g\. --data .*/a\.csv"
    with pytest.raises(DataError, match=message):
        scan(data)


def test_a_table_in_an_archive_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    with zipfile.ZipFile(tmp_path / "pack.zip", "w") as archive:
        archive.writestr("pack/labels.csv", TABLE)
        archive.writestr("pack/images/1.jpg", "1")
        archive.writestr("pack/2.jpg", "2")
    result = scan(tmp_path / "pack.zip")
    found = [(file.name, file.label) for file in result.pictures]
    assert found == [("pack/2.jpg", "dog"), ("pack/images/1.jpg", "cat")]
    assert all((result.folder / name).is_file() for name, _ in found)
    assert result.data_path == tmp_path / "pack.zip"


def test_class_folders_count_more_than_a_table(tmp_path: Path) -> None:
    data = draw(tmp_path, {"cat/1.jpg": "", "dog/2.jpg": "", "labels.csv": "path,label\n1,cat\n"})
    assert scan(data).classes == ("cat", "dog")


def test_the_folder_export_of_roboflow_has_class_folders(tmp_path: Path) -> None:
    readme = {"README.roboflow.txt": "v1", "README.dataset.txt": "about"}
    pictures = {
        f"{split}/{label}/1.jpg": "" for split in ("train", "valid", "test") for label in "ab"
    }
    result = scan(draw(tmp_path, {**readme, **pictures}))
    assert result.classes == ("a", "b")
    assert {file.split for file in result.pictures} == {"train", "validation", "test"}
