"""Finds out where the class folders are: at the top, in split folders, or further down.

The decision depends only on the paths of the pictures; no file is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import (
    SPLIT_WORDS,
    UNLABELLED,
    format_names,
    is_split_name,
    normalize,
    strip_fold,
    strip_split,
)
from trainers.dataset.folders.folder_tree import Folder, Parts, build_tree

_SPLIT_TITLES: Final = {UNLABELLED: "left out because unlabelled"}


@dataclass(frozen=True)
class ClassRoot:
    """A folder that holds class folders, or, if `label` is set, the pictures of that class.

    Attributes:
        split: a name from SPLITS, UNLABELLED, or "" if the folder does not name a split.
        label: the name of a class, or "".
    """

    split: str
    label: str = ""


@dataclass(frozen=True)
class Layout:
    """Where the class folders are.

    Attributes:
        roots: path of the folder -> `ClassRoot`; no root is inside another. Empty if a table of
            labels names the classes.
        notes: how the folder was understood, if that is not obvious from the names in it.
        inner_roots: class folders that look like datasets themselves: perhaps the user meant one of
            these instead of the folder above.
        nested_classes: class folders that hold folders with the same names, such as `north` and
            `south` if both hold `cat` and `dog`.
    """

    roots: Mapping[Parts, ClassRoot] = field(default_factory=lambda: {(): ClassRoot("")})
    notes: tuple[str, ...] = ()
    inner_roots: tuple[str, ...] = ()
    nested_classes: tuple[str, ...] = ()

    def locate(self, parts: Parts) -> tuple[str, str] | None:
        """Return the class and the split of a file.

        The class is "" for a file that lies beside the class folders. The result is None for a file
        that lies outside the folders that hold class folders.
        """
        for depth in range(len(parts)):
            if root := self.roots.get(parts[:depth]):
                inside = parts[depth:]
                return root.label or (inside[0] if len(inside) > 1 else ""), root.split
        return None


def detect_layout(pictures: Iterable[Parts], folder: str = "DIR") -> Layout:
    """Find out where the class folders of these pictures are.

    Args:
        pictures: the paths, relative to the data folder, of all files that are meant as pictures.
        folder: the name of the data folder in messages.

    Raises:
        DataError: other folders are beside the splits, the splits hold no class folders, no split
            is for training, a folder is a dataset of its own, or names cannot be interpreted.
    """
    root = build_tree(pictures)
    top = root.class_root
    is_one_folder = top is root and len(root.subfolders) == 1 and not root.split_folders
    if is_one_folder:  # pictures beside this folder are not in a class
        top = next(iter(root.subfolders.values())).class_root
        top = root if top.has_files else top
    if not top.split_folders:
        return _without_splits(root, top, folder)
    if others := set(top.subfolders) - set(top.split_folders):
        raise DataError(
            f"{_title(top)} has split folders ({_format_sorted(top.split_folders)}) and, next to "
            f"them, other folders with pictures ({_format_sorted(others)}): move the other folders "
            "into the split folders or elsewhere; or, if the split folders are classes, rename them"
        )
    roots = {
        split_folder.parts: ClassRoot(top.mentioned_splits[name])
        for name, split_folder in top.split_folders.items()
    }
    titles = [
        f"{_SPLIT_TITLES.get(root.split, root.split)} = {'/'.join(parts)}"
        for parts, root in roots.items()
    ]
    is_plain = all("/".join(parts).lower() in SPLIT_WORDS for parts in roots)
    notes = () if is_plain else (f"split folders: {', '.join(titles)}",)
    labelled = [
        split_folder
        for name, split_folder in top.split_folders.items()
        if top.mentioned_splits[name] != UNLABELLED
    ]
    return Layout(roots, notes, *_nested_folders(labelled))


def _without_splits(root: Folder, top: Folder, folder: str) -> Layout:
    """Find out the layout of the tree `root` if its class root `top` holds no split folders.

    Raises:
        DataError: the splits hold no class folders, no split is for training, one of several
            folders is a dataset with split folders, or names cannot be interpreted.
    """
    subfolders = list(top.subfolders.values())
    if subfolders and all(subfolder.is_class_of_splits for subfolder in subfolders):
        roots = {
            (*subfolder.parts, name): ClassRoot(split, label)
            for label, subfolder in top.subfolders.items()
            for name, split in subfolder.mentioned_splits.items()
        }
        return Layout(roots, ("each class folder has its own split folders",))
    if roots := _classes_with_splits(top):
        return Layout(roots, ("the folder names combine a class and a split",))
    datasets = [
        str(subfolder.class_root) for subfolder in subfolders if subfolder.class_root.split_folders
    ]
    if len(subfolders) > 1 and datasets:
        raise DataError(
            "folders with split folders are datasets of their own, not classes "
            f"({_format_sorted(datasets)}): set --data to the one to train on, e.g. --data "
            f"{folder}/{datasets[0]}"
        )
    _check_splits_hold_classes(top)
    notes = () if top is root else (f"the class folders are in {top}",)
    return Layout({top.parts: ClassRoot("")}, notes, *_nested_folders([top]))


def _check_splits_hold_classes(top: Folder) -> None:
    splits = {top.mentioned_splits.get(name) for name in top.subfolders if is_split_name(name)}
    if len(splits) < 2 or not all(map(is_split_name, top.subfolders)):
        return
    if "train" in splits:
        training = min(name for name in top.subfolders if top.mentioned_splits[name] == "train")
        raise _no_class_folders(top.subfolders, str(top.subfolders[training]))
    if any(subfolder.subfolders for subfolder in top.subfolders.values()):
        raise DataError(
            f"{_title(top)} has {_format_sorted(top.subfolders)} but no folder for training: "
            "rename one of them to train, or set --data to the one to train on"
        )


def _no_class_folders(names: Iterable[str], training: str) -> DataError:
    return DataError(
        f"{_format_sorted(names)} hold pictures but no class folders: sort the pictures into one "
        f"folder per class, e.g. {training}/healthy/1.jpg, or set --data to a table of their labels"
    )


def _classes_with_splits(top: Folder) -> dict[Parts, ClassRoot]:
    """Find class roots whose names combine a class and a split: cats_train, dogs_train, cats_test.

    The result is empty if no two names share a class, as in train_station and test_tube, or if no
    name mentions training.

    Raises:
        DataError: all these names mention the same class, other folders are next to these folders,
            or the names combine a class and a fold.
    """
    folds = {name: strip_fold(name) for name in top.subfolders}
    if all(folds.values()) and len(set(folds.values())) < len(folds):
        raise DataError(
            f"the names {_format_sorted(folds)} each combine a class and a fold: move the pictures "
            f"of each class into one folder, e.g. {min(folds.values())}"
        )
    candidates = [name for name in top.mentioned_splits if not is_split_name(name)]
    labels = {name: label for name in candidates if (label := strip_split(name))}
    normalized = [normalize(label) for label in labels.values()]
    splits = {top.mentioned_splits[name] for name in labels}
    shared = {label for label in normalized if normalized.count(label) > 1}
    others = set(top.subfolders) - set(labels)
    if not shared or "train" not in splits or len(splits) < 2 or (others and len(shared) < 2):
        return {}
    if len(set(normalized)) < 2:
        training = min(name for name in labels if top.mentioned_splits[name] == "train")
        raise _no_class_folders(labels, training)
    if others:
        raise DataError(
            f"{_title(top)} has folders whose names combine a class and a split "
            f"({_format_sorted(labels)}) and, next to them, other folders "
            f"({_format_sorted(others)}): rename the other folders in the same way, e.g. "
            f"{min(others)}_train, or move them away"
        )
    spelling = {normalize(label): label for label in sorted(labels.values())}
    return {
        top.subfolders[name].parts: ClassRoot(
            top.mentioned_splits[name], spelling[normalize(label)]
        )
        for name, label in labels.items()
    }


def _nested_folders(roots: list[Folder]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find class folders that look like datasets: `inner_roots` and `nested_classes` of a `Layout`.

    Such a class folder holds several folders, such as flowers/rose and flowers/daisy, and no
    pictures beside them. It does not count if its folders are named by numbers or dates (session1,
    2026-05-03), because these are parts of one class.
    Both results are empty unless more than half of the class folders look like datasets.
    """
    folders = [folder for root in roots for folder in root.subfolders.values()]
    nested = [folder.class_root for folder in folders if len(folder.class_root.subfolders) > 1]
    nested = [folder for folder in nested if not _is_numbered(folder.subfolders)]
    if len(folders) > 1:  # but a single class folder may have pictures too
        nested = [folder for folder in nested if not folder.has_files]
    if 2 * len(nested) <= len(folders):
        return (), ()
    names = tuple(sorted(map(str, nested)))
    labels = [normalize(name) for folder in nested for name in folder.subfolders]
    is_shared = len(roots) == 1 and 2 * len(set(labels)) <= len(labels)
    return ((), names) if is_shared else (names, ())


def _is_numbered(names: Iterable[str]) -> bool:
    return len({re.sub(r"[\W\d_]+", "", name.lower()) for name in names}) == 1


def _title(folder: Folder) -> str:
    return str(folder) or "the folder"


def _format_sorted(names: Iterable[str]) -> str:
    return format_names(sorted(names))
