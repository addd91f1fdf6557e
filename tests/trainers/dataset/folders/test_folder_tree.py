from __future__ import annotations

from trainers.dataset.folders.folder_tree import Folder, build_tree


def build(*pictures: str) -> Folder:
    return build_tree(tuple(path.split("/")) for path in pictures)


def test_every_folder_above_a_picture_is_in_the_tree() -> None:
    root = build("a/b/1.jpg", "a/2.jpg", "c/3.jpg")
    assert sorted(root.subfolders) == ["a", "c"]
    assert str(root.subfolders["a"].subfolders["b"]) == "a/b"
    assert [root.has_files, root.subfolders["a"].has_files] == [False, True]
    assert root.class_root is root


def test_split_folders_hold_classes_and_one_is_for_training() -> None:
    assert sorted(build("train/a/1.jpg", "val/a/2.jpg").split_folders) == ["train", "val"]
    assert build("test/a/1.jpg", "val/a/2.jpg").split_folders == {}
    assert build("train/1.jpg", "val/2.jpg").split_folders == {}
    assert str(build("x/y/a/1.jpg", "x/y/b/2.jpg").class_root) == "x/y"


def test_a_class_of_splits_holds_nothing_else() -> None:
    assert build("train/1.jpg", "test/2.jpg").is_class_of_splits
    assert not build("train/1.jpg", "test/2.jpg", "3.jpg").is_class_of_splits
