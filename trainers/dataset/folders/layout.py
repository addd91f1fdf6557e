"""Where in a folder the classes are: below split folders, below folders that hold nothing else.

Decided by names and by what lies in what, as a function of the pictures' paths: no file is touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from service.errors import GraftError
from trainers.dataset.folders.filenames import (
    SPLIT_WORDS,
    UNLABELLED,
    class_beside_fold,
    class_beside_split,
    is_plain_split,
    looks,
)
from trainers.dataset.folders.folder_tree import Folder, Parts, tree

_SAID: Final = {UNLABELLED: "left out, since unlabelled"}


class DataError(GraftError):
    """The folder cannot be trained on; the message says what, where and what next."""


@dataclass(frozen=True)
class Place:
    """A folder with class folders in it, or, where `label` is set, with pictures of that class."""

    split: str
    label: str = ""


@dataclass(frozen=True)
class Layout:
    """Where classes are.

    Attributes:
        places: by the path of the folder; no place lies in another.
        notes: how the folder was understood, where that is not plain from its names.
        inner: folders that may be meant as the one to name, each with classes in it.
        shared: class folders that hold the same folders: `north` and `south`, both with `cat`.
    """

    places: Mapping[Parts, Place] = field(default_factory=lambda: {(): Place("")})
    notes: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()

    def locate(self, parts: Parts) -> tuple[str, str] | None:
        """(class, split) of a file; no class where it lies beside class folders, and None where it
        lies beside the folders that hold them."""
        for depth in range(len(parts)):
            if place := self.places.get(parts[:depth]):
                inside = parts[depth:]
                return place.label or (inside[0] if len(inside) > 1 else ""), place.split
        return None


def find(pictures: Iterable[Parts], folder: str = "DIR") -> Layout:
    """Where the classes of these pictures are.

    Args:
        pictures: the paths of all files that are meant as pictures, below the folder.
        folder: as messages name it.

    Raises:
        DataError: splits beside classes, splits without classes, or several data sets.
    """
    root = tree(pictures)
    top = root.inner
    if top is root and len(root.folders) == 1 and not root.splits:  # a picture beside one folder
        top = next(iter(root.folders.values())).inner
        top = root if top.has_files else top
    if not top.splits:
        return _without_splits(root, top, folder)
    if others := set(top.folders) - set(top.splits):
        raise DataError(
            f"{_where(top)} has split folders ({_listed(top.splits)}) and beside them folders with "
            f"pictures of their own ({_listed(others)}): move those into the splits or away, or "
            "rename the split folders if they are classes"
        )
    places = {one.parts: Place(top.named[name]) for name, one in top.splits.items()}
    said = [f"{_SAID.get(one.split, one.split)} = {'/'.join(at)}" for at, one in places.items()]
    is_plain = all("/".join(at).lower() in SPLIT_WORDS for at in places)
    notes = () if is_plain else (f"split folders: {', '.join(said)}",)
    known = [one for name, one in top.splits.items() if top.named[name] != UNLABELLED]
    return Layout(places, notes, *_one_level_too_high(known))


def _without_splits(root: Folder, top: Folder, folder: str) -> Layout:
    """The layout of class folders, all in `top`.

    Raises:
        DataError: the folders are splits that lack classes or training, or hold splits each.
    """
    children = list(top.folders.values())
    if children and all(one.is_parted for one in children):
        places = {
            (*one.parts, part): Place(split, label)
            for label, one in top.folders.items()
            for part, split in one.named.items()
        }
        return Layout(places, ("split folders: those in each class folder",))
    if places := _classes_and_splits(top):
        return Layout(places, ("split folders: a class and a split in each name",))
    sets = [str(one.inner) for one in children if one.inner.splits]
    if len(children) > 1 and sets:
        raise DataError(
            f"the split folders are one level below, in {_listed(sets)}: name the one to train on, "
            f"e.g. --data {folder}/{sets[0]}"
        )
    splits = {top.named.get(name) for name in top.folders if is_plain_split(name)}
    if len(splits) > 1 and all(map(is_plain_split, top.folders)):
        if "train" not in splits and any(one.folders for one in children):
            raise DataError(
                f"{_where(top)} has {_listed(top.folders)} and no folder for training: call one "
                "train, or name the one to train on by --data"
            )
        if "train" in splits:
            training = min(str(one) for one in children if top.named[one.name] == "train")
            raise DataError(
                f"{_listed(top.folders)} hold pictures and no class folders: sort the pictures "
                f"into one folder per class, e.g. {training}/healthy/1.jpg (tables of labels "
                "are not read)"
            )
    notes = () if top is root else (f"class folders: those in {top}",)
    return Layout({top.parts: Place("")}, notes, *_one_level_too_high([top]))


def _classes_and_splits(top: Folder) -> dict[Parts, Place]:
    """Places where each folder is a class and a split at once: cats_train, dogs_train, cats_test.

    Not train_station and test_tube, which share no class, nor folders without one for training.

    Raises:
        DataError: they are of one class, other folders lie beside them, or they are folds.
    """
    folds = {name: class_beside_fold(name) for name in top.folders}
    if all(folds.values()) and len(set(folds.values())) < len(folds):
        raise DataError(
            f"{_listed(folds)} are a class and a fold at once: move the pictures of each class "
            f"into one folder, e.g. {min(folds.values())}"
        )
    told = [one for one in top.named if not is_plain_split(one)]
    names = {one: label for one in told if (label := class_beside_split(one))}
    labels = [looks(label) for label in names.values()]
    kinds = {top.named[one] for one in names}
    shared = {label for label in labels if labels.count(label) > 1}
    others = set(top.folders) - set(names)
    if not shared or "train" not in kinds or len(kinds) < 2 or (others and len(shared) < 2):
        return {}
    if len(set(labels)) < 2:
        training = min(one for one in names if top.named[one] == "train")
        raise DataError(
            f"{_listed(names)} hold pictures and no class folders: sort the pictures into one "
            f"folder per class, e.g. {training}/healthy/1.jpg (tables of labels are not read)"
        )
    if others:
        raise DataError(
            f"{_where(top)} has folders that are a class and a split at once ({_listed(names)}) "
            f"and beside them others ({_listed(others)}): call those alike, e.g. "
            f"{min(others)}_train, or move them away"
        )
    spelt = {looks(label): label for label in sorted(names.values())}
    return {
        top.folders[one].parts: Place(top.named[one], spelt[looks(label)])
        for one, label in names.items()
    }


def _one_level_too_high(tops: list[Folder]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(folders to name in place of this one, class folders that hold folders of the same names).

    They hold several folders and no pictures of their own: flowers/rose, flowers/daisy. Not those
    that are numbered or dated (session1, 2026-05-03), where a class was filled in turns.
    """
    folders = [one for top in tops for one in top.folders.values()]
    found = [one.inner for one in folders if len(one.inner.folders) > 1]
    found = [one for one in found if not _is_numbered(one.folders)]
    if len(folders) > 1:  # where it is the only one, there is no other meaning
        found = [one for one in found if not one.has_files]
    if 2 * len(found) <= len(folders):
        return (), ()
    names = tuple(sorted(map(str, found)))
    together = [looks(name) for one in found for name in one.folders]
    is_shared = len(tops) == 1 and 2 * len(set(together)) <= len(together)
    return ((), names) if is_shared else (names, ())


def _is_numbered(names: Iterable[str]) -> bool:
    return len({re.sub(r"[\W\d_]+", "", name.lower()) for name in names}) == 1


def _where(folder: Folder) -> str:
    return str(folder) or "the folder"


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    rest = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return ", ".join(ordered[:5]) + rest
