from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.imaging import decode
from trainers.data import Dataset
from trainers.data import read as read_scanned
from trainers.progress import Progress, log
from trainers.scanning import DataError, scan

DrawFolder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, draw_folder: DrawFolder) -> Path:
    return draw_folder(tmp_path / "pictures", red=4, blue=3)


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Path], Dataset]:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return lambda folder: read_scanned(scan(folder), 32, workspace, Progress(is_quiet=True))


Read = Callable[[Path], Dataset]


def reasons(dataset: Dataset) -> dict[str, str]:
    return {one.path: one.reason for one in dataset.left_out}


def test_folders_become_classes_and_files_pictures(folder: Path, read: Read) -> None:
    dataset = read(folder)
    assert dataset.classes == ("blue", "red")
    assert dataset.paths == (
        *(f"blue/{number}.png" for number in range(3)),
        *(f"red/{number}.png" for number in range(4)),
    )
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert dataset.left_out == ()


def test_pictures_are_what_the_service_decodes(folder: Path, read: Read) -> None:
    dataset = read(folder)
    for path, image in zip(dataset.paths, dataset.images, strict=True):
        np.testing.assert_array_equal(image, decode((folder / path).read_bytes(), 32))


def test_deeper_folders_belong_to_their_class(folder: Path, read: Read) -> None:
    (folder / "red" / "monday").mkdir()
    (folder / "red" / "0.png").rename(folder / "red" / "monday" / "0.png")
    dataset = read(folder)
    assert "red/monday/0.png" in dataset.paths
    assert dataset.classes == ("blue", "red")


def test_what_is_no_picture_is_listed_with_its_reason_and_left_out(
    folder: Path, read: Read
) -> None:
    good = (folder / "red/0.png").read_bytes()
    (folder / "red/cut.png").write_bytes(good[: len(good) // 2])
    (folder / "red/empty.jpg").write_bytes(b"")
    (folder / "red/text.jpg").write_text("hello")
    (folder / "red/wrong.jpg").write_bytes(good)
    (folder / "red/old.gif").write_bytes(b"GIF89a")
    (folder / "red/noname").write_bytes(good)
    (folder / "lost.png").write_bytes(good)
    (folder / "red/.hidden.png").write_bytes(good)
    dataset = read(folder)
    found = reasons(dataset)
    assert "damaged or cut short" in found["red/cut.png"]
    assert "empty" in found["red/empty.jpg"]
    assert "not a JPEG, PNG or WebP" in found["red/text.jpg"]
    assert found["red/wrong.jpg"] == "named `.jpg` but holds PNG data: rename it"
    assert "`.gif` is not among .jpg .jpeg .png .webp" in found["red/old.gif"]
    assert "a name without an ending" in found["red/noname"]
    assert "lies in no class folder" in found["lost.png"]
    assert len(found) == 7
    assert len(dataset.paths) == len(dataset.images) == 7
    # the gap that the damaged ones left is closed: pictures and paths still belong together
    last = decode((folder / dataset.paths[-1]).read_bytes(), 32)
    np.testing.assert_array_equal(dataset.images[-1], last)


def test_folders_without_pictures_are_no_classes(folder: Path, read: Read) -> None:
    (folder / "licence").mkdir()
    (folder / "licence/LICENSE.txt").write_text("free")
    (folder / ".cache").mkdir()
    shutil.copy(folder / "red/0.png", folder / ".cache")
    (folder / "empty").mkdir()
    assert read(folder).classes == ("blue", "red")


def test_a_class_with_one_readable_picture_stops_the_run(folder: Path, read: Read) -> None:
    (folder / "green").mkdir()
    shutil.copy(folder / "red/0.png", folder / "green")
    (folder / "green/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(
        DataError, match=r"at least 2 readable pictures, `green` has 1(.|\n)*bad\.png"
    ):
        read(folder)


def test_a_class_without_any_readable_picture_stops_the_run(folder: Path, read: Read) -> None:
    (folder / "green").mkdir()
    (folder / "green/bad.png").write_bytes(b"")
    with pytest.raises(DataError, match="`green` has 0"):
        read(folder)


def test_one_class_stops_the_run(folder: Path, read: Read) -> None:
    shutil.rmtree(folder / "red")
    with pytest.raises(DataError, match="one class only \\(`blue`\\)"):
        read(folder)


def test_split_folders_are_taken_as_they_are(
    tmp_path: Path, draw_folder: DrawFolder, read: Read
) -> None:
    for part, count in (("train", 3), ("valid", 1), ("Test", 2)):
        draw_folder(tmp_path / "pictures" / part, red=count, blue=count)
    dataset = read(tmp_path / "pictures")
    assert dataset.classes == ("blue", "red")
    assert [len(dataset.rows(part)) for part in ("train", "validation", "test")] == [6, 2, 4]
    assert "valid/red/0.png" in dataset.paths


def test_a_class_may_be_called_test(tmp_path: Path, draw_folder: DrawFolder, read: Read) -> None:
    folder = draw_folder(tmp_path / "pictures", red=2, blue=2)
    (folder / "blue").rename(folder / "test")
    assert read(folder).classes == ("red", "test")


def test_the_fingerprint_follows_content_names_and_classes(folder: Path, read: Read) -> None:
    before = read(folder).fingerprint
    assert read(folder).fingerprint == before
    Image.new("RGB", (40, 40)).save(folder / "red/0.png")
    changed = read(folder).fingerprint
    assert changed != before
    (folder / "red/0.png").rename(folder / "red/9.png")
    assert read(folder).fingerprint != changed


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(log, "warning", lambda text, *values: said.append(text % values))
    return said


def test_few_pictures_are_warned_about(
    tmp_path: Path, draw_folder: DrawFolder, read: Read, warnings: list[str]
) -> None:
    read(draw_folder(tmp_path / "few", red=9, blue=10))
    assert warnings == [
        "figures from so few pictures mean little: `red` (9); 10 of each class are the least"
    ]


def test_many_small_classes_are_named_in_short(
    folder: Path, read: Read, warnings: list[str]
) -> None:
    for number in range(7):
        shutil.copytree(folder / "red", folder / f"class{number}")
    read(folder)
    assert "`class3` (4) and 4 more; 10 of each" in warnings[0]
    assert "`class4`" not in warnings[0]


def test_an_empty_class_folder_is_said_before_many_bad_files(
    folder: Path, read: Read, warnings: list[str]
) -> None:
    (folder / "yellow").mkdir()
    for number in range(25):
        (folder / f"red/{number}.gif").touch()
    assert read(folder).classes == ("blue", "red")
    assert "all in metrics.json)\n  yellow: is empty\n  red/0.gif:" in warnings[-1]


def test_a_class_of_unsupported_pictures_stops_the_run(
    tmp_path: Path, draw_folder: DrawFolder, read: Read
) -> None:
    folder = draw_folder(tmp_path / "pictures", red=3, blue=3)
    (folder / "scans").mkdir()
    (folder / "scans/1.bmp").touch()
    with pytest.raises(DataError, match=r"`scans` has 0; .*\n  scans/1\.bmp: `\.bmp` is not"):
        read(folder)
