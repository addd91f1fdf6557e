from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import UsageError
from service.scoring.discover import find_pictures

Draw = Callable[..., bytes]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"content does not matter")


def names(folder: Path) -> list[str]:
    return [Path(path).relative_to(folder).as_posix() for path in find_pictures([str(folder)])]


def test_folders_are_searched_recursively_in_the_order_of_names(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.PNG", "b/1.jpeg", "a/deep/er/3.webp", "z.jpg")
    assert names(tmp_path) == ["z.jpg", "a/deep/er/3.webp", "b/1.jpeg", "b/2.PNG"]


def test_hidden_files_and_other_suffixes_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", ".2.jpg", ".cache/3.jpg", "__MACOSX/4.jpg", "notes.txt", "data.csv")
    assert names(tmp_path) == ["1.jpg"]


def test_unsupported_kinds_are_listed_so_that_scoring_reports_them(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "1.heic", "2.tiff")
    assert names(tmp_path) == ["1.heic", "2.tiff"]


def test_files_without_a_suffix_are_identified_by_content(tmp_path: Path, draw: Draw) -> None:
    touch(tmp_path, "README")
    (tmp_path / "photo").write_bytes(draw("red"))
    assert names(tmp_path) == ["photo"]


def test_a_named_file_is_listed_whatever_it_is(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden.txt")
    path = str(tmp_path / ".hidden.txt")
    assert find_pictures([path, path]) == [path, path]


def test_the_order_is_that_of_the_command_line(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    arguments = [str(tmp_path / name) for name in ("b", "a/1.jpg")]
    assert find_pictures(arguments) == [str(tmp_path / name) for name in ("b/1.jpg", "a/1.jpg")]


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
    assert find_pictures([str(tmp_path), str(tmp_path / "a")]) == [str(tmp_path / "a/1.jpg")]


def test_broken_links_are_listed(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").symlink_to(tmp_path / "gone.jpg")
    assert names(tmp_path) == ["1.jpg"]


def test_folders_that_cannot_be_opened_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root can open every folder, so the test removes the folder during the search instead."""
    touch(tmp_path, "1.jpg", "closed/2.jpg")
    pictures = find_pictures([str(tmp_path / "1.jpg"), str(tmp_path)])
    assert str(tmp_path / "closed/2.jpg") in pictures

    def remove_folder(path: Path) -> bool:
        (tmp_path / "closed/2.jpg").unlink(missing_ok=True)
        (tmp_path / "closed").rmdir()
        return True

    monkeypatch.setattr("service.scoring.discover._is_picture", remove_folder)
    assert names(tmp_path) == ["1.jpg", "closed"]


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file or folder .*gone\.jpg; give the paths"):
        find_pictures([str(tmp_path), str(tmp_path / "gone.jpg")])


def test_no_pictures_at_all_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(UsageError, match=r"no pictures in .* \(searched for \.jpg \.jpeg"):
        find_pictures([str(tmp_path)])
