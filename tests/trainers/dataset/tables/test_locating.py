from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from trainers.dataset.tables import locating
from trainers.progress import Progress


def locate(paths: list[str], folder: Path) -> list[Path | str]:
    return locating.locate(paths, folder, Progress(is_quiet=True))


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_paths_are_relative_to_the_folder_or_absolute(tmp_path: Path) -> None:
    inside, outside = touch(tmp_path / "data/a.jpg"), touch(tmp_path / "b.jpg")
    assert locate(["a.jpg", str(outside)], tmp_path / "data") == [inside, outside]


def test_pictures_are_found_by_their_name_if_it_is_unique(tmp_path: Path) -> None:
    found = touch(tmp_path / "images/17.jpg")
    (tmp_path / "images/17.txt").write_text("boxes")
    for folder in ("x", "y"):
        touch(tmp_path / folder / "twice.jpg")
    touch(tmp_path / ".hidden/18.jpg")
    os.mkfifo(tmp_path / "19.jpg")
    paths = ["17", "C:/old/images/17.jpg", "twice.jpg"]
    ambiguous = "may be any of 2 pictures: x/twice.jpg, y/twice.jpg"
    assert locate(paths, tmp_path) == [found, found, ambiguous]
    missing = ["other/17.jpg", "18.jpg", "19.jpg", "\0", "n" * 300, ""]
    assert locate(missing, tmp_path) == ["does not exist"] * 6


def test_bundles_of_earlier_runs_have_no_pictures(tmp_path: Path) -> None:
    found = touch(tmp_path / "images/0.png")
    for name in ("golden/0.png", "manifest.json", "metrics.json"):
        touch(tmp_path / "artifacts/classifier-1" / name)
    assert locate(["0"], tmp_path) == [found]


def test_accents_may_have_any_unicode_form(tmp_path: Path) -> None:
    found = touch(tmp_path / unicodedata.normalize("NFD", "bäume/é.jpg"))
    assert locate([unicodedata.normalize("NFC", "bäume/é.jpg")], tmp_path) == [found]


def test_a_missing_picture_is_not_replaced_by_one_in_another_folder(tmp_path: Path) -> None:
    there = touch(tmp_path / "cats/1.jpg")
    touch(tmp_path / "2.jpg")
    assert locate(["cats/1.jpg", "dogs/2.jpg"], tmp_path) == [there, "does not exist"]
    moved = ["/old/disk/cats/1.jpg", "/old/disk/2.jpg"]
    assert locate(moved, tmp_path) == [there, tmp_path / "2.jpg"]
