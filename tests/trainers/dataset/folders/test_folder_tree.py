from __future__ import annotations

from trainers.dataset.folders.folder_tree import Folder, tree


def grown(*pictures: str) -> Folder:
    return tree(tuple(path.split("/")) for path in pictures)


def test_every_folder_above_a_picture_is_in_the_tree() -> None:
    root = grown("a/b/1.jpg", "a/2.jpg", "c/3.jpg")
    assert sorted(root.folders) == ["a", "c"]
    assert str(root.folders["a"].folders["b"]) == "a/b"
    assert [root.has_files, root.folders["a"].has_files] == [False, True]
    assert root.inner is root


def test_splits_hold_classes_and_one_is_for_training() -> None:
    assert sorted(grown("train/a/1.jpg", "val/a/2.jpg").splits) == ["train", "val"]
    assert grown("test/a/1.jpg", "val/a/2.jpg").splits == {}
    assert grown("train/1.jpg", "val/2.jpg").splits == {}
    assert str(grown("x/y/a/1.jpg", "x/y/b/2.jpg").inner) == "x/y"


def test_a_class_in_parts_holds_nothing_else() -> None:
    assert grown("train/1.jpg", "test/2.jpg").is_parted
    assert not grown("train/1.jpg", "test/2.jpg", "3.jpg").is_parted
