from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainers.cache.array_cache import Cache
from trainers.dataset.dataset import Dataset, load_dataset
from trainers.dataset.folders.errors import DataError
from trainers.dataset.inspection import INSPECTION
from trainers.dataset.scanning import scan
from trainers.dataset.splits.splitting import describe, log_drawn_splits, split, write_csv
from trainers.progress import Progress, log


def dataset(*counts: int, splits: tuple[str, ...] | None = None) -> Dataset:
    labels = np.repeat(np.arange(len(counts)), counts)
    return Dataset(
        folder=Path("pictures"),
        classes=tuple("abcdef"[: len(counts)]),
        paths=tuple(f"{label}/{number}.png" for number, label in enumerate(labels)),
        labels=labels,
        splits=splits or ("",) * len(labels),
        digests=tuple(f"digest {number}" for number in range(len(labels))),
        inspections=np.zeros(len(labels), INSPECTION),
        duplicate_groups=np.arange(len(labels)),
        fingerprint="",
        left_out=(),
    )


def counts(data: Dataset, label: int) -> Counter[str]:
    return Counter(np.array(data.splits)[data.labels == label].tolist())


def test_about_15_percent_go_to_validation_and_to_test() -> None:
    data = split(dataset(2000, 1000), seed=0)
    for label, total in enumerate((2000, 1000)):
        for part in ("validation", "test"):
            assert counts(data, label)[part] == pytest.approx(0.15 * total, rel=0.15)


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "validation": 1, "test": 1}),
        (5, {"train": 3, "validation": 1, "test": 1}),
    ],
)
def test_small_classes_fill_training_first_then_the_test(
    pictures: int, expected: dict[str, int]
) -> None:
    data = split(dataset(pictures, 10), seed=3)
    assert counts(data, 0) == expected


def test_the_seed_decides_the_split() -> None:
    first, again, other = (split(dataset(50, 50), seed).splits for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_split_folders_are_not_changed() -> None:
    splits = ("train", "validation", "test", "train", "validation", "test")
    assert split(dataset(3, 3, splits=splits), seed=0).splits == splits


def test_missing_validation_pictures_are_drawn_from_training() -> None:
    splits = ("train",) * 20 + ("test",) * 5
    data = split(dataset(25, 25, splits=splits * 2), seed=0)
    assert counts(data, 0) == {"train": 17, "validation": 3, "test": 5}
    assert data.splits[20:25] == ("test",) * 5


def test_a_class_without_training_pictures_is_refused() -> None:
    splits = ("train",) * 3 + ("test",) * 3
    with pytest.raises(DataError, match="class `b` of pictures has no training pictures"):
        split(dataset(3, 3, splits=splits), seed=0)


@pytest.mark.parametrize(
    ("classes", "advice"),
    [
        (("Cat", "cat"), r"train/ has a similar class `Cat` \('Cat', not 'cat'\): rename one"),
        (("caf\xe9", "cafe\u0301"), r"a similar class `.*` \('caf\\xe9', not 'cafe\\u0301'\)"),
        (("New York", "New_York"), "train/ has a similar class `New York`"),
        (("daisy", "dasiy"), "train/ has a similar class `daisy`"),
        (("cat", "unknown"), "or move the folder away if its pictures are not labelled"),
    ],
)
def test_a_class_without_training_pictures_is_refused_with_advice(
    classes: tuple[str, str], advice: str
) -> None:
    data = dataset(3, 3, splits=("train",) * 3 + ("test",) * 3)
    with pytest.raises(DataError, match=advice):
        split(replace(data, classes=classes), seed=0)


def test_split_csv_lists_every_picture(tmp_path: Path) -> None:
    data = split(dataset(4, 4), seed=0)
    write_csv(data, tmp_path / "split.csv")
    with (tmp_path / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == list(data.paths)
    assert [row["sha256"] for row in rows] == list(data.digests)
    assert [row["split"] for row in rows] == list(data.splits)
    assert {row["class"] for row in rows[:4]} == {"a"}


def test_describe_counts_pictures_per_split() -> None:
    assert describe(split(dataset(20, 20), 0)) == (
        "40 pictures of 2 classes: 22 train, 13 validation, 5 test"
    )


def test_describe_names_classes_that_are_divided_unevenly() -> None:
    parts = {"train": (50, 70, 76), "validation": (25, 15, 10), "test": (25, 15, 14)}
    splits = tuple(
        part for label in range(3) for part, counts in parts.items() for _ in range(counts[label])
    )
    text = describe(dataset(100, 100, 100, splits=splits))
    assert text.endswith(
        "54 test; unevenly divided: `a` has 25 validation pictures (its share is 17), `c` has 10 "
        "validation pictures (its share is 17), `a` has 25 test pictures (its share is 18)"
    )
    even = (("train",) * 70 + ("validation",) * 15 + ("test",) * 15) * 2
    assert describe(dataset(100, 100, splits=even)).endswith("30 test")


def test_a_dataset_without_test_pictures_is_refused() -> None:
    splits = ("train", "validation", "validation") * 2
    with pytest.raises(DataError, match="no picture is left for the test: add pictures until"):
        split(dataset(3, 3, splits=splits), seed=0)


def test_pictures_drawn_from_train_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr(log, "info", lambda text, *values: messages.append(text % values))

    def split_and_log(data: Dataset) -> None:
        log_drawn_splits(data, split(data, seed=0))

    split_and_log(dataset(20, 20))
    assert messages == []
    split_and_log(dataset(20, 20, splits=(("train",) * 15 + ("validation",) * 5) * 2))
    assert messages == [
        "the data names no pictures for test: a part of those for training is used "
        "(number of pictures: 4)"
    ]
    split_and_log(dataset(20, 20, splits=("train",) * 40))
    assert messages[1:] == [
        f"the data names no pictures for {part}: a part of those for training is used "
        f"(number of pictures: {count})"
        for part, count in (("test", 5), ("validation", 13))
    ]


def shuffled(data: Dataset, rng: np.random.Generator) -> Dataset:
    """The same pictures in another order, in another folder, with other names."""
    order = rng.permutation(len(data.paths))
    _, groups = np.unique(data.duplicate_groups[order], return_inverse=True)
    return replace(
        data,
        folder=Path("elsewhere"),
        paths=tuple(f"{number}.jpg" for number in range(len(order))),
        labels=data.labels[order],
        splits=tuple(data.splits[row] for row in order),
        digests=tuple(data.digests[row] for row in order),
        inspections=data.inspections[order],
        duplicate_groups=groups,
    )


def splits_by_digest(data: Dataset) -> dict[str, str]:
    return dict(zip(data.digests, data.splits, strict=True))


def random_dataset(rng: np.random.Generator, pictures: int, most_copies: int) -> Dataset:
    """Classes of different sizes, with groups of duplicates, some of them across classes."""
    data = dataset(pictures // 2, pictures // 3, pictures // 6)
    groups = rng.integers(0, max(1, len(data.paths) // most_copies), len(data.paths))
    is_single = rng.random(len(groups)) < 0.7
    groups[is_single] = len(groups) + np.flatnonzero(is_single)
    return replace(
        data,
        duplicate_groups=groups,
        digests=tuple(f"{rng.integers(2**60)}" for _ in data.paths),
    )


def select_rows(data: Dataset, rows: np.ndarray) -> Dataset:
    return replace(
        data,
        paths=tuple(data.paths[row] for row in rows),
        labels=data.labels[rows],
        splits=tuple(data.splits[row] for row in rows),
        digests=tuple(data.digests[row] for row in rows),
        inspections=data.inspections[rows],
        duplicate_groups=data.duplicate_groups[rows],
    )


@pytest.mark.parametrize("seed", range(40))
def test_names_order_and_folder_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = random_dataset(rng, 120, 3)
    assert splits_by_digest(split(data, seed)) == splits_by_digest(split(shuffled(data, rng), seed))


@pytest.mark.parametrize("seed", range(40))
def test_added_pictures_move_no_old_picture_to_the_test(seed: int) -> None:
    """Old pictures may only move towards training, even if new ones merge their groups."""
    rng = np.random.default_rng(seed)
    grown = random_dataset(rng, 600, 3)
    rows = np.flatnonzero(rng.random(len(grown.paths)) < rng.uniform(0.3, 0.95))
    before, after = (
        splits_by_digest(split(select_rows(grown, rows), seed)),
        splits_by_digest(split(grown, seed)),
    )
    rank = {"train": 2, "validation": 1, "test": 0}
    assert all(rank[after[digest]] >= rank[part] for digest, part in before.items())


@pytest.mark.parametrize("seed", range(40))
def test_duplicates_share_a_split(seed: int) -> None:
    data = split(random_dataset(np.random.default_rng(seed), 60, 4), seed)
    for group in np.unique(data.duplicate_groups):
        assert (
            len({data.splits[row] for row in np.flatnonzero(data.duplicate_groups == group)}) == 1
        )


@pytest.mark.parametrize("seed", range(40))
def test_every_class_with_three_groups_has_all_splits(seed: int) -> None:
    data = split(dataset(3, 4, 7), seed)
    assert all(set(counts(data, label)) == {"train", "validation", "test"} for label in range(3))


def test_a_class_of_copies_of_one_picture_goes_to_training() -> None:
    data = dataset(5, 9)
    data = split(
        replace(data, duplicate_groups=np.where(data.labels == 0, 0, data.duplicate_groups)), seed=0
    )
    assert counts(data, 0) == {"train": 5}


def test_many_duplicates_give_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr(log, "warning", lambda text, *values: messages.append(text % values))
    data = dataset(200, 200)
    log_drawn_splits(data, split(data, seed=0))
    assert messages == []
    data = replace(data, duplicate_groups=np.arange(400) // 5 * 5)
    log_drawn_splits(data, split(data, seed=0))
    assert " of 400 pictures: 400 pictures have duplicates" in messages[0]


def test_a_folder_that_grows_and_is_tidied_keeps_its_test_pictures(
    tmp_path: Path, scene: Callable[..., Image.Image]
) -> None:
    """With real files: some are renamed, the folder moves, and re-encoded copies are added."""

    def read(folder: Path) -> Dataset:
        return split(
            load_dataset(
                scan(folder), Cache(tmp_path / "c", 0, tmp_path / "w", Progress(is_quiet=True))
            ),
            seed=0,
        )

    for number in range(60):
        path = tmp_path / "old" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(number, (96, 72)).save(path)
    before = read(tmp_path / "old")
    new = (tmp_path / "old").rename(tmp_path / "new")
    for number in range(0, 60, 3):
        label = "ab"[number % 2]
        (new / label / f"{number}.png").rename(new / label / f"{1000 - number}.png")
        scene(100 + number, (96, 72)).save(new / label / f"more{number}.png")
        scene(number, (96, 72)).resize((48, 36)).save(new / label / f"copy{number}.jpg")
    after = read(new)
    assert len(after.paths) == 100
    assert len(set(after.duplicate_groups)) == 80
    rank = {"train": 2, "validation": 1, "test": 0}
    new_splits = splits_by_digest(after)
    moves = [
        rank[new_splits[digest]] - rank[part] for digest, part in splits_by_digest(before).items()
    ]
    assert min(moves) == 0
    assert sum(move > 0 for move in moves) <= 20  # only pictures that got a copy
    for group in set(after.duplicate_groups):
        assert (
            len({after.splits[row] for row in np.flatnonzero(after.duplicate_groups == group)}) == 1
        )


def several_labels(targets: np.ndarray) -> Dataset:
    """A dataset with these labels; `labels` has the rarest one, as `load_dataset` sets it."""
    counts = np.append(targets.sum(axis=0), len(targets))
    own = np.column_stack([targets, np.ones(len(targets), np.bool_)])
    data = dataset(*[len(targets)])
    return replace(
        data,
        classes=tuple("abcd"[: targets.shape[1]]),
        labels=np.where(own, counts, len(targets) + 1).argmin(axis=1),
        targets=targets,
    )


@pytest.mark.parametrize("seed", range(5))
def test_rare_labels_are_in_all_splits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.random((200, 4)) < [0.6, 0.3, 0.1, 0.04]
    targets[:3, 3] = True
    data = split(several_labels(targets), seed)
    for part in ("train", "validation", "test"):
        assert targets[data.rows(part)].any(axis=0).all()
    assert len(data.rows("test")) == pytest.approx(30, abs=14)


def test_a_label_without_training_pictures_is_an_error() -> None:
    targets = np.zeros((10, 2), np.bool_)
    targets[:5, 0] = targets[0, 1] = True
    data = several_labels(targets).with_splits(("test", *[""] * 9))
    with pytest.raises(DataError, match="class `b` of pictures has no training pictures"):
        split(data, 0)


def test_the_table_has_all_labels(tmp_path: Path) -> None:
    data = split(several_labels(np.array([[1, 1], [1, 0], [0, 1], [0, 0]] * 5, np.bool_)), 0)
    write_csv(data, tmp_path / "split.csv")
    with (tmp_path / "split.csv").open(newline="") as file:
        assert [row["class"] for row in csv.DictReader(file)][:4] == ["a|b", "a", "b", ""]
