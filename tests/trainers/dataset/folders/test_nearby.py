from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainers.dataset import scanning
from trainers.dataset.folders import nearby
from trainers.dataset.scanning import DataError

DrawFolder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, draw_folder: DrawFolder) -> Path:
    return draw_folder(tmp_path / "my pictures", red=2, blue=2)


def test_inside_a_class_its_parent_is_named_as_it_has_to_be_typed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nearby.meant(folder / "red").endswith(f": --data '{folder}'")
    monkeypatch.chdir(folder / "red")
    assert nearby.meant(Path()).endswith(": --data ..")
    monkeypatch.chdir(folder)
    assert nearby.meant(Path("red")).endswith(": --data .")
    monkeypatch.chdir(folder.parent)
    assert nearby.meant(Path("my pictures/red")).endswith(": --data 'my pictures'")


@pytest.mark.parametrize("name", ["0.jpg?w=500", "0.NEF", "0.dcm"])
def test_pictures_are_known_as_everywhere_else(folder: Path, name: str) -> None:
    for label in ("red", "blue"):
        for path in (folder / label).iterdir():
            path.rename(path.with_name(f"{path.stem}{name}"))
    assert nearby.meant(folder / "red").endswith(f": --data '{folder}'")


def test_a_name_that_is_not_there_gets_the_closest_beside_it(folder: Path) -> None:
    typed = folder.with_name("My_Picture")
    assert nearby.meant(typed) == f". Did you mean --data '{folder}'?"
    assert nearby.meant(folder.with_name("zoo")) == ""
    assert nearby.meant(folder / "no/where") == ""


def test_a_folder_that_is_right_or_alone_gets_no_advice(folder: Path, tmp_path: Path) -> None:
    assert nearby.meant(folder) == ""
    (tmp_path / "alone/scans").mkdir(parents=True)
    (folder / "red/0.png").rename(tmp_path / "alone/scans/0.png")
    assert nearby.meant(tmp_path / "alone/scans") == ""


def test_a_scan_says_it(folder: Path) -> None:
    with pytest.raises(DataError, match="the folder of one class; name the one that it lies in"):
        scanning.scan(folder / "red")
    with pytest.raises(DataError, match="Did you mean --data"):
        scanning.scan(folder.with_name("my picture"))


def test_without_any_folder_the_pictures_all_around_are_offered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, hint in ((folder, "--data ."), (folder / "red", "--data .."), (folder.parent, "")):
        monkeypatch.chdir(place)
        assert nearby.here().endswith(hint)
        assert bool(nearby.here()) is bool(hint)
