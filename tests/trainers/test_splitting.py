from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from trainers.data import Dataset
from trainers.progress import log
from trainers.scanning import DataError
from trainers.splitting import describe, split, write_csv


def dataset(*counts: int, splits: tuple[str, ...] | None = None) -> Dataset:
    labels = np.repeat(np.arange(len(counts)), counts)
    return Dataset(
        folder=Path("pictures"),
        classes=tuple("abcdef"[: len(counts)]),
        paths=tuple(f"{label}/{number}.png" for number, label in enumerate(labels)),
        labels=labels,
        splits=splits or ("",) * len(labels),
        images=np.zeros((len(labels), 1, 1, 3), np.uint8),
        fingerprint="",
        left_out=(),
    )


def counts(data: Dataset, label: int) -> Counter[str]:
    return Counter(np.array(data.splits)[data.labels == label].tolist())


def test_each_class_gives_15_percent_to_validation_and_to_test() -> None:
    data = split(dataset(200, 40), seed=0)
    assert counts(data, 0) == {"train": 140, "validation": 30, "test": 30}
    assert counts(data, 1) == {"train": 28, "validation": 6, "test": 6}


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "validation": 1, "test": 1}),
        (5, {"train": 3, "validation": 1, "test": 1}),
    ],
)
def test_few_pictures_serve_learning_first_and_the_test_second(
    pictures: int, expected: dict[str, int]
) -> None:
    data = split(dataset(pictures, 10), seed=3)
    assert counts(data, 0) == expected


def test_the_seed_decides_the_split() -> None:
    first, again, other = (split(dataset(50, 50), seed).splits for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_given_split_is_kept() -> None:
    given = ("train", "validation", "test", "train", "validation", "test")
    assert split(dataset(3, 3, splits=given), seed=0).splits == given


def test_a_missing_validation_is_drawn_from_training_alone() -> None:
    given = ("train",) * 20 + ("test",) * 5
    data = split(dataset(25, 25, splits=given * 2), seed=0)
    assert counts(data, 0) == {"train": 17, "validation": 3, "test": 5}
    assert data.splits[20:25] == ("test",) * 5


def test_a_class_without_training_pictures_is_refused() -> None:
    given = ("train",) * 3 + ("test",) * 3
    with pytest.raises(DataError, match="class `b` of pictures has no pictures in train/"):
        split(dataset(3, 3, splits=given), seed=0)


def test_the_record_names_every_picture(tmp_path: Path) -> None:
    data = split(dataset(4, 4), seed=0)
    write_csv(data, tmp_path / "split.csv")
    with (tmp_path / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == list(data.paths)
    assert [row["split"] for row in rows] == list(data.splits)
    assert {row["class"] for row in rows[:4]} == {"a"}


def test_the_counts_in_words() -> None:
    assert describe(split(dataset(20, 20), 0)) == (
        "40 pictures of 2 classes: 28 train, 6 validation, 6 test"
    )


def test_no_test_picture_at_all_is_refused_before_training() -> None:
    given = ("train", "validation", "validation") * 2
    with pytest.raises(DataError, match="no picture is left for the test: give train/ at least 2"):
        split(dataset(3, 3, splits=given), seed=0)


def test_what_is_set_aside_from_train_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "info", lambda text, *values: said.append(text % values))
    split(dataset(20, 20), seed=0)
    assert said == []
    split(dataset(20, 20, splits=(("train",) * 15 + ("validation",) * 5) * 2), seed=0)
    assert said == ["no test/ folder: 4 pictures of train/ are set aside for it"]
    split(dataset(20, 20, splits=("train",) * 40), seed=0)
    assert said[1:] == [
        f"no {part}/ folder: 6 pictures of train/ are set aside for it"
        for part in ("test", "validation")
    ]
