from __future__ import annotations

import re

import pytest

from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.layout import ClassRoot, Layout, detect_layout


def layout(*pictures: str) -> Layout:
    return detect_layout(tuple(path.split("/")) for path in pictures)


def locate_all(*pictures: str) -> list[tuple[str, str] | None]:
    detected = layout(*pictures)
    return [detected.locate(tuple(path.split("/"))) for path in pictures]


def two_classes(*parts: str) -> list[str]:
    """List pictures of two classes in each of these folders."""
    return [f"{part}/{label}/1.jpg" for part in parts for label in ("ash", "oak")]


def splits(*pictures: str) -> dict[str, str]:
    return {"/".join(parts): root.split for parts, root in layout(*pictures).roots.items()}


def test_folders_are_classes() -> None:
    assert locate_all("ash/1.jpg", "oak/monday/2.jpg", "lost.jpg") == [
        ("ash", ""),
        ("oak", ""),
        ("", ""),
    ]
    assert layout(*two_classes(".")[:0]) == Layout({(): ClassRoot("")})


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Training Data", "Testing Data"),
        ("training_set", "test_set"),
        ("training_set/training_set", "test_set/test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train-images", "test-images"),
        ("TrainSet", "TestSet"),
        ("train_dir", "test_dir"),
        ("archive/leaves/train", "archive/leaves/test"),
        ("train/images", "test/images"),
    ],
)
def test_split_folders_may_have_many_names(train: str, test: str) -> None:
    assert splits(*two_classes(train, test)) == {train: "train", test: "test"}


def test_unusual_layouts_are_noted() -> None:
    assert layout(*two_classes("train", "val")).notes == ()
    assert layout(*two_classes("training_set", "val")).notes == (
        "split folders: train = training_set, validation = val",
    )
    assert layout(*two_classes("a/b")).notes == ("the class folders are in a/b",)


def test_a_test_folder_with_one_class_is_a_split() -> None:
    pictures = [*two_classes("seg_train/seg_train"), "seg_test/seg_test/oak/1.jpg"]
    assert splits(*pictures) == {"seg_train/seg_train": "train", "seg_test/seg_test": "test"}


def test_a_similar_name_is_the_same_class_in_another_split() -> None:
    pictures = ["my_train/New York/1.jpg", "my_train/Rome/1.jpg", "my_test/new_york/1.jpg"]
    assert splits(*pictures) == {"my_train": "train", "my_test": "test"}


@pytest.mark.parametrize(
    "pictures",
    [
        ["train/1.jpg", "car/2.jpg", "bus/3.jpg"],
        ["train/2019/1.jpg", "train/2.jpg", "car/3.jpg"],
        ["test tube/glass/1.jpg", "train station/north/2.jpg"],
        ["test/1.jpg", "beaker/2.jpg"],
        ["training shoes/1.jpg", "sandals/2.jpg"],
    ],
)
def test_classes_may_be_named_like_splits(pictures: list[str]) -> None:
    assert splits(*pictures) == {"": ""}


def test_train_alone_is_a_split_at_any_depth() -> None:
    assert splits(*two_classes("train")) == {"train": "train"}
    assert splits(*two_classes("archive/train")) == {"archive/train": "train"}
    assert splits(*two_classes("train/train")) == {"train/train": "train"}


def test_levels_with_a_single_folder_are_skipped() -> None:
    assert splits(*two_classes("archive/dataset")) == {"archive/dataset": ""}
    assert splits(*two_classes("archive/dataset"), "cover.jpg") == {"archive/dataset": ""}
    assert splits("cats/1.jpg") == {"": ""}
    assert splits("archive/cats/1.jpg") == {"archive": ""}


def test_split_folders_may_be_inside_each_class() -> None:
    pictures = ["cat/train/1.jpg", "cat/test/2.jpg", "dog/train/3.jpg", "dog/test/4.jpg"]
    assert locate_all(*pictures) == [
        ("cat", "train"),
        ("cat", "test"),
        ("dog", "train"),
        ("dog", "test"),
    ]
    assert layout(*pictures).notes == ("each class folder has its own split folders",)


@pytest.mark.parametrize(
    "pattern", ["{}_train|{}_test", "train-{}|test-{}", "{}Train|{}Test", "{} trn|{} tst"]
)
def test_folder_names_may_combine_a_class_and_a_split(pattern: str) -> None:
    train, test = pattern.split("|")
    pictures = [f"{name.format(label)}/1.jpg" for name in (train, test) for label in ("cat", "dog")]
    assert locate_all(*pictures) == [
        ("cat", "train"),
        ("dog", "train"),
        ("cat", "test"),
        ("dog", "test"),
    ]
    assert layout(*pictures).notes == ("the folder names combine a class and a split",)
    nested = [
        f"data/{path.replace('1.jpg', f'{index}/1.jpg')}" for index, path in enumerate(pictures)
    ]
    assert locate_all(*nested) == locate_all(*pictures)
    assert locate_all("cat_train/1.jpg", "Cat_val/1.jpg", "dog_train/1.jpg") == [
        ("cat", "train"),
        ("cat", "validation"),
        ("dog", "train"),
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("train_station", "test_tube"),
        ("cat_test", "cat_val", "dog_test"),
        ("cat_train", "dog_train"),
        ("cat_train", "cat_test", "dog", "cow"),
        ("paper fold1", "wing fold2"),
    ],
)
def test_class_names_may_contain_a_split_word(names: tuple[str, ...]) -> None:
    assert splits(*(f"{name}/1.jpg" for name in names)) == {"": ""}


def test_folders_of_folds_are_nested_classes() -> None:
    assert layout(*two_classes("fold1", "fold2")).nested_classes == ("fold1", "fold2")
    assert splits(*two_classes("trn", "tst")) == {"trn": "train", "tst": "test"}


def test_unlabelled_pictures_may_lie_beside_splits() -> None:
    roots = splits(*two_classes("seg_train", "seg_test"), "seg_pred/1.jpg")
    assert roots == {"seg_train": "train", "seg_test": "test", "seg_pred": "unlabelled"}


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (
            [*two_classes("train", "test"), "cats/1.jpg"],
            "the folder has split folders (test, train) and, next to them, other folders with "
            "pictures (cats): move",
        ),
        (
            ["train_images/1.jpg", "test_images/2.jpg"],
            "test_images, train_images hold pictures but no class folders: sort the pictures into "
            "one folder per class, e.g. train_images/healthy/1.jpg",
        ),
        (
            [f"{name}/1.jpg" for name in ("a_train", "b_train", "a_test", "b_test", "c")],
            "the folder has folders whose names combine a class and a split (a_test, a_train, "
            "b_test, b_train) and, next to them, other folders (c): rename the other folders in "
            "the same way, e.g. c_train, or",
        ),
        (
            ["seg_train/1.jpg", "seg_test/1.jpg"],
            "seg_test, seg_train hold pictures but no class folders: sort the pictures into one "
            "folder per class, e.g. seg_train/healthy/1.jpg",
        ),
        (
            [f"{name}/1.jpg" for name in ("a_fold1", "b_fold1", "a_fold2", "b_fold2")],
            "the names a_fold1, a_fold2, b_fold1, b_fold2 each combine a class and a fold: move "
            "the pictures of each class into one folder, e.g. a",
        ),
        (two_classes("x/val", "x/test"), "x has test, val but no folder for training: rename one"),
        (
            two_classes("flowers/train", "flowers/test", "trees/train", "trees/test"),
            "folders with split folders are datasets of their own, not classes (flowers, trees): "
            "set --data to the one to train on, e.g. --data DIR/flowers",
        ),
    ],
)
def test_ambiguous_layouts_are_refused(pictures: list[str], message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        layout(*pictures)


def test_a_folder_one_level_too_high_has_inner_roots() -> None:
    flowers = ["flowers/rose/1.jpg", "flowers/daisy/1.jpg"]
    detected = layout(*flowers, "satellites/forest/1.jpg", "satellites/sea/1.jpg")
    assert (detected.inner_roots, detected.nested_classes) == (("flowers", "satellites"), ())
    detected = layout(*flowers, "other/rgb/forest/1.jpg", "other/rgb/sea/1.jpg")
    assert detected.inner_roots == ("flowers", "other/rgb")
    assert layout(*flowers, "flowers/2.jpg").inner_roots == ("flowers",)


def test_the_same_folders_in_all_classes_are_nested_classes() -> None:
    detected = layout(*two_classes("north", "south"))
    assert (detected.inner_roots, detected.nested_classes) == ((), ("north", "south"))


@pytest.mark.parametrize(
    "pictures",
    [
        ["cat/1.jpg", "cat/indoors/1.jpg", "cat/outdoors/1.jpg", "dog/1.jpg"],
        ["cat/session1/1.jpg", "cat/session2/1.jpg", "dog/session3/1.jpg", "dog/session4/1.jpg"],
        ["cat/2026-05-03/1.jpg", "cat/2026-05-04/1.jpg", "dog/2026/1.jpg", "dog/2025/1.jpg"],
        ["cat/monday/1.jpg", "dog/tuesday/1.jpg"],
    ],
)
def test_folders_within_a_class_are_fine(pictures: list[str]) -> None:
    detected = layout(*pictures)
    assert (detected.inner_roots, detected.nested_classes) == ((), ())


def test_a_deep_chain_of_split_folders_is_quick() -> None:
    assert len(splits(*two_classes("/".join(["train"] * 300)))) == 1
