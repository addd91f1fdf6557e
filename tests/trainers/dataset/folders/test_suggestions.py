from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainers.dataset import scanning
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.suggestions import suggest_current_folder, suggest_folder

DrawFolder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, draw_folder: DrawFolder) -> Path:
    return draw_folder(tmp_path / "my pictures", red=2, blue=2)


def test_the_parent_of_a_class_folder_is_suggested_as_a_shell_argument(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert suggest_folder(folder / "red").endswith(f": --data '{folder}'")
    monkeypatch.chdir(folder / "red")
    assert suggest_folder(Path()).endswith(": --data ..")
    monkeypatch.chdir(folder)
    assert suggest_folder(Path("red")).endswith(": --data .")
    monkeypatch.chdir(folder.parent)
    assert suggest_folder(Path("my pictures/red")).endswith(": --data 'my pictures'")


@pytest.mark.parametrize("name", ["0.jpg?w=500", "0.NEF", "0.dcm"])
def test_pictures_are_recognized_by_all_suffixes(folder: Path, name: str) -> None:
    for label in ("red", "blue"):
        for path in (folder / label).iterdir():
            path.rename(path.with_name(f"{path.stem}{name}"))
    assert suggest_folder(folder / "red").endswith(f": --data '{folder}'")


def test_for_a_missing_folder_the_closest_name_is_suggested(folder: Path) -> None:
    typed = folder.with_name("My_Picture")
    assert suggest_folder(typed) == f". Did you mean --data '{folder}'?"
    assert suggest_folder(folder.with_name("zoo")) == ""
    assert suggest_folder(folder / "no/where") == ""


def test_a_suitable_folder_or_a_single_class_gets_no_suggestion(
    folder: Path, tmp_path: Path
) -> None:
    assert suggest_folder(folder) == ""
    (tmp_path / "alone/scans").mkdir(parents=True)
    (folder / "red/0.png").rename(tmp_path / "alone/scans/0.png")
    assert suggest_folder(tmp_path / "alone/scans") == ""


def test_the_message_of_a_scan_ends_with_the_suggestion(folder: Path) -> None:
    with pytest.raises(
        DataError, match="the folder of a single class; use the folder that contains it"
    ):
        scanning.scan(folder / "red")
    with pytest.raises(DataError, match="Did you mean --data"):
        scanning.scan(folder.with_name("my picture"))


def test_the_current_folder_is_suggested_when_it_holds_pictures(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for current_folder, hint in (
        (folder, "--data ."),
        (folder / "red", "--data .."),
        (folder.parent, ""),
    ):
        monkeypatch.chdir(current_folder)
        assert suggest_current_folder().endswith(hint)
        assert bool(suggest_current_folder()) is bool(hint)
