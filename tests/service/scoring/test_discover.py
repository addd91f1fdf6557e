from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import WrongUse
from service.scoring.discover import pictures_in

Draw = Callable[..., bytes]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"content does not matter")


def names(folder: Path) -> list[str]:
    return [Path(path).relative_to(folder).as_posix() for path in pictures_in([str(folder)])]


def test_folders_are_read_to_the_bottom_in_the_order_of_names(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.PNG", "b/1.jpeg", "a/deep/er/3.webp", "z.jpg")
    assert names(tmp_path) == ["z.jpg", "a/deep/er/3.webp", "b/1.jpeg", "b/2.PNG"]


def test_hidden_files_and_what_is_no_picture_by_name_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", ".2.jpg", ".cache/3.jpg", "__MACOSX/4.jpg", "notes.txt", "data.csv")
    assert names(tmp_path) == ["1.jpg"]


def test_pictures_of_unsupported_kinds_are_listed_so_that_they_are_missed(tmp_path: Path) -> None:
    touch(tmp_path, "1.heic", "2.tiff")
    assert names(tmp_path) == ["1.heic", "2.tiff"]


def test_files_without_an_ending_are_looked_into(tmp_path: Path, draw: Draw) -> None:
    touch(tmp_path, "README")
    (tmp_path / "photo").write_bytes(draw("red"))
    assert names(tmp_path) == ["photo"]


def test_a_named_file_is_taken_whatever_it_is(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden.txt")
    path = str(tmp_path / ".hidden.txt")
    assert pictures_in([path, path]) == [path, path]


def test_the_order_is_that_of_the_command_line(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    places = [str(tmp_path / name) for name in ("b", "a/1.jpg")]
    assert pictures_in(places) == [str(tmp_path / name) for name in ("b/1.jpg", "a/1.jpg")]


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "real/1.jpg", "outside/2.jpg")
    folder = tmp_path / "real"
    (folder / "again").symlink_to(folder)
    (folder / "in").symlink_to(tmp_path / "outside")
    (folder / "once more").symlink_to(tmp_path / "outside")
    (folder / "3.jpg").symlink_to(folder / "1.jpg")
    assert names(folder) == ["1.jpg", "3.jpg", "in/2.jpg"]


def test_a_folder_keeps_its_name_where_a_link_to_it_comes_first(tmp_path: Path) -> None:
    touch(tmp_path, "z/1.jpg")
    (tmp_path / "a").symlink_to(tmp_path / "z")
    assert names(tmp_path) == ["z/1.jpg"]


def test_a_folder_inside_another_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg")
    assert pictures_in([str(tmp_path), str(tmp_path / "a")]) == [str(tmp_path / "a/1.jpg")]


def test_links_that_lead_nowhere_are_listed(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").symlink_to(tmp_path / "gone.jpg")
    assert names(tmp_path) == ["1.jpg"]


def test_folders_that_cannot_be_opened_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests may run as root, who can open everything: the folder goes while it is walked."""
    touch(tmp_path, "1.jpg", "closed/2.jpg")
    walked = pictures_in([str(tmp_path / "1.jpg"), str(tmp_path)])
    assert str(tmp_path / "closed/2.jpg") in walked

    def go(path: Path) -> bool:
        (tmp_path / "closed/2.jpg").unlink(missing_ok=True)
        (tmp_path / "closed").rmdir()
        return True

    monkeypatch.setattr("service.scoring.discover._is_meant_as_picture", go)
    assert names(tmp_path) == ["1.jpg", "closed"]


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"no file or folder .*gone\.jpg; name pictures"):
        pictures_in([str(tmp_path), str(tmp_path / "gone.jpg")])


def test_no_pictures_at_all_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(WrongUse, match=r"no pictures in .* \(looked for \.jpg \.jpeg"):
        pictures_in([str(tmp_path)])
