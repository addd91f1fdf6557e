from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainers.dataset.findings.conftest import Scene, by_kind, check, encoded
from trainers.dataset.findings.files import report_left_out
from trainers.dataset.folders.scan import LeftOut


def test_each_reason_is_listed_once(folder: Path) -> None:
    for number in range(3):
        (folder / f"train/apple/a{number}.jpg").write_bytes(b"8BPS")
        (folder / f"train/apple/b{number}.jpg").write_bytes(b"\xff\x0a\0\0")
    (finding,) = check(folder)
    assert finding.kind == "unsupported"
    assert finding.message.count("Photoshop") == finding.message.count("JPEG XL") == 1


def test_each_missing_file_of_a_table_has_its_line() -> None:
    reason, lines = "does not exist", (2, 3, 7)
    files = [LeftOut(f"{n}.jpg", reason, "unreadable", f"labels.csv, line {n}") for n in lines]
    (finding,) = report_left_out(files)
    assert finding.paths == ("2.jpg", "3.jpg", "7.jpg")
    assert finding.places == ("labels.csv, line 2", "labels.csv, line 3", "labels.csv, line 7")
    assert str(finding).endswith(
        "unreadable: 2.jpg (labels.csv, line 2), 3.jpg (labels.csv, line 3), 7.jpg (labels.csv, "
        "line 7)"
    )
    (finding,) = report_left_out([LeftOut("1.jpg", reason, "unreadable")])
    assert finding.places == ()


@pytest.mark.parametrize("name", ["1.mpo", "DJI_1.JPG", "1"])
def test_a_jpeg_with_a_second_picture_in_it_is_a_jpeg(
    folder: Path, scene: Scene, name: str
) -> None:
    preview = scene(901, (80, 60))
    content = encoded(scene(900), "MPO", save_all=True, append_images=[preview])
    (folder / "train/apple" / name).write_bytes(content)
    assert by_kind(check(folder)).keys() <= {"odd_mode", "wrong_extension"}


@pytest.mark.parametrize("name", ["1.jpe", "1.jfif", "1.jpg?w=500", "1.jpg.1"])
def test_rare_suffixes_of_jpeg_are_not_a_finding(folder: Path, scene: Scene, name: str) -> None:
    (folder / "train/apple" / name).write_bytes(encoded(scene(900)))
    assert check(folder) == ()
