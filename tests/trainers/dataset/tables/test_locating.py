from __future__ import annotations

from pathlib import Path

from trainers.dataset.tables.locating import locate


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_paths_are_relative_to_the_folder_or_absolute(tmp_path: Path) -> None:
    inside, outside = touch(tmp_path / "data/a.jpg"), touch(tmp_path / "b.jpg")
    assert locate(["a.jpg", str(outside)], tmp_path / "data") == [inside, outside]


def test_pictures_are_found_by_their_name_if_it_is_unique(tmp_path: Path) -> None:
    found = touch(tmp_path / "images/17.jpg")
    for folder in ("x", "y"):
        touch(tmp_path / folder / "twice.jpg")
    touch(tmp_path / ".hidden/18.jpg")
    paths = ["17", "s3://bucket/old/17.jpg", "twice.jpg", "18.jpg", "\0", "n" * 300]
    assert locate(paths, tmp_path) == [found, found, None, None, None, None]
