from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainers.dataset.splits.test_splitting import dataset
from trainers.config import ConfigError
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.errors import DataError
from trainers.dataset.splits.pinning import check_pinned, match_pins, read_pins
from trainers.dataset.splits.split_table import SplitRow
from trainers.dataset.splits.splitting import split, write_csv


def pins(*splits: str, first: int = 0, label: str = "a") -> dict[str, SplitRow]:
    """Rows for the pictures of `dataset` from number `first` on."""
    rows = (
        SplitRow("gone/x.png", f"digest {first + at}", label, name)
        for at, name in enumerate(splits)
    )
    return {row.sha256: row for row in rows}


def grouped(data: Dataset, *groups: int) -> Dataset:
    return replace(data, duplicate_groups=np.array(groups))


def test_the_split_that_a_run_wrote_is_kept_with_another_seed_and_other_names(
    tmp_path: Path,
) -> None:
    data = split(dataset(30, 30), seed=1)
    write_csv(data, tmp_path / "split.csv")
    moved = replace(dataset(30, 30), paths=tuple(f"other/{at}.png" for at in range(60)))
    for option in (tmp_path, tmp_path / "split.csv"):  # a bundle, or its file
        pinned = match_pins(moved, read_pins(str(option)))
        again = pinned.apply(split(moved, seed=2))
        assert again.splits == data.splits != split(moved, seed=2).splits
    assert again.pinned == {"kept": 60, "followed": 0, "new": 0, "relabelled": 0, "gone": 0}


def test_new_pictures_are_split_as_usual() -> None:
    usual = split(dataset(200, 200), seed=0)
    pinned = match_pins(dataset(200, 200), pins("test", "validation", "train"))
    data = pinned.apply(split(dataset(200, 200), seed=0))
    assert data.splits[:3] == ("test", "validation", "train")
    assert data.splits[3:] == usual.splits[3:]
    assert data.pinned["new"] == 397


def test_a_class_in_a_test_folder_can_be_pinned_to_training() -> None:
    data = dataset(2, 2, splits=("test", "test", "train", "test"))
    pinned = match_pins(data, pins("train", "train"))
    assert pinned.apply(split(pinned.release(data), seed=0)).splits[:2] == ("train", "train")
    with pytest.raises(DataError, match="has no training pictures"):
        split(data, seed=0)


def test_a_folder_that_names_a_split_does_not_move_a_pinned_picture() -> None:
    folders = ("test", "train", "train", "test", "train", "train")
    pinned = match_pins(dataset(3, 3, splits=folders), pins("train", "test"))
    data = pinned.apply(split(dataset(3, 3, splits=folders), seed=0))
    assert data.splits[:2] == ("train", "test")
    assert data.splits[3] == "test"  # new, so its folder decides


def test_new_duplicates_follow_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    data = grouped(dataset(4, 4), 0, 0, 2, 3, 4, 5, 6, 2)
    pinned = match_pins(data, pins("test", first=0) | pins("train", first=2))
    assert pinned.splits == ("test", "test", "train", "", "", "", "", "train")
    assert pinned.record["followed"] == 2
    assert "(1 to test, 1 to train): 0/1.png, 1/7.png" in caplog.text


def test_new_pictures_of_a_source_follow() -> None:
    data = replace(dataset(3, 3), sources=("x", "x", "y", "y", "", ""))
    assert match_pins(data, pins("validation")).splits == ("validation", "validation", *[""] * 4)


def test_a_new_picture_between_two_splits_never_goes_to_training() -> None:
    data = grouped(dataset(4, 4), 0, 0, 0, 3, 4, 5, 6, 7)
    pinned = match_pins(data, pins("train", "validation"))
    assert pinned.splits[:3] == ("train", "validation", "validation")


def test_gone_and_relabelled_pictures_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    found = match_pins(dataset(3, 3), pins("test", "test", "train", "train", first=2))
    assert found.record == {"kept": 4, "followed": 0, "new": 2, "relabelled": 3, "gone": 0}
    assert "1/3.png (`a`, now `b`)" in caplog.text
    assert match_pins(dataset(3, 3), pins("test", "test", "train", first=5)).record["gone"] == 2


def test_copies_in_several_splits_are_kept_for_the_test(tmp_path: Path) -> None:
    rows = [["train"], ["test"], ["validation"]]
    with (tmp_path / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["path", "sha256", "class", "split"], *(["a.png", "0A", "red", *row] for row in rows)]
        )
    assert {digest: row.split for digest, row in read_pins(str(tmp_path)).items()} == {"0a": "test"}


def test_without_the_option_nothing_is_pinned() -> None:
    data = dataset(3, 3)
    assert match_pins(data, read_pins(None)).apply(data) == replace(data, splits=("",) * 6)


def test_a_split_of_other_pictures_is_refused() -> None:
    with pytest.raises(DataError, match="names 2 pictures, but none of them is here"):
        match_pins(dataset(3, 3), pins("test", "train", first=100))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file.*takes the folder of a bundle"),
        ("path,split\na.png,test\n", "no column 'class'"),
        ("path,sha256,class,split\na.png,00,red,dev\n", "unknown split 'dev'"),
        ("path,class,split\na.png,red,test\n", "has 1 of 1 rows without a hash"),
        ("", "has 0 of 0 rows"),
        ("path,sha256,class,split\na.png,0a,red,train\nb.png,,red,test\n", "has 1 of 2 rows"),
        (b"path,sha256,class,split\n\xff,00,red,test\n", "is not a split.csv"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "split.csv").write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        read_pins(str(tmp_path / "split.csv"))


def test_a_class_without_training_pictures_is_refused() -> None:
    data = dataset(3, 3, splits=("train", "train", "test", "test", "test", "test"))
    with pytest.raises(DataError, match="no training picture is left of `b`"):
        check_pinned(data)
    with pytest.raises(DataError, match="no test picture is left"):
        check_pinned(dataset(1, 1, splits=("train", "train")))
    assert Counter(data.splits)["test"] == 4


def test_a_picture_with_two_rows_is_in_the_test_if_one_of_them_says_so(tmp_path: Path) -> None:
    table = "path,sha256,class,split\na.png,AB,red,test\na.png,ab,red,train\n"
    (tmp_path / "split.csv").write_text(table)
    assert {name: row.split for name, row in read_pins(str(tmp_path)).items()} == {"ab": "test"}
