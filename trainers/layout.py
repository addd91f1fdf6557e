"""Where in a folder the classes are: below split folders, below folders that hold nothing else.

Decided by names and by what lies in what, as a function of the pictures' paths: no file is touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from service.errors import GraftError
from trainers.filenames import SPLIT_WORDS, UNLABELLED, is_plain_split, looks, split_of

Parts = tuple[str, ...]
"""Of a path, below the folder that was named."""

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


class _Folder:
    """A folder that holds pictures, at any depth.

    Attributes:
        parts: its path.
        has_files: whether pictures lie directly in it.
        folders: those in it that hold pictures, by name.
    """

    def __init__(self, parts: Parts = ()) -> None:
        self.parts, self.has_files = parts, False
        self.folders: dict[str, _Folder] = {}

    def __str__(self) -> str:
        return "/".join(self.parts)

    @property
    def name(self) -> str:
        return self.parts[-1] if self.parts else ""

    @cached_property
    def named(self) -> dict[str, str]:
        """The folders in it whose names speak of a split, and of which."""
        return {name: split for name in self.folders if (split := split_of(name))}

    @cached_property
    def splits(self) -> dict[str, _Folder]:
        """Those that are splits, and where the class folders are in each: nothing without one for
        training that holds class folders."""
        found = {
            name: self.folders[name].inner
            for name in self.named
            if is_plain_split(name) or self._shares_classes(name)
        }
        kinds = {self.named[name] for name in found} - {UNLABELLED}
        training = [one for name, one in found.items() if self.named[name] == "train"]
        if len(kinds) == 1:  # a class may be called train, and have folders beside its pictures
            training = [one for one in training if not one.has_files]
        return found if any(one.folders for one in training) else {}

    @cached_property
    def inner(self) -> _Folder:
        """The folder inside whose folders are to be told apart: all above hold one folder each."""
        inner = self
        while len(inner.folders) == 1 and not inner.has_files:
            (only,) = inner.folders.values()
            # train/train is one split; a folder that holds train alone has splits.
            if only.has_files or (not split_of(inner.name) and inner.splits):
                break
            inner = only
        return inner

    def _shares_classes(self, name: str) -> bool:
        """Whether another split has folders of the same names: test_tube/ is a class."""
        own = self.folders[name].inner
        others = [self.folders[one] for one in self.named if self.named[one] != self.named[name]]
        are_flat = self.named[name] == UNLABELLED and set(own.folders) <= set(own.named)
        alike = {looks(label) for one in others for label in one.inner.folders}
        return are_flat or bool(alike & set(map(looks, own.folders)))

    @property
    def is_parted(self) -> bool:
        """Whether it holds nothing but the parts of one class: cat/train and cat/test."""
        plain = [self.named[name] for name in self.folders if is_plain_split(name)]
        are_flat = not any(one.folders for one in self.folders.values())
        is_all = len(plain) == len(self.folders) and not self.has_files
        return is_all and are_flat and "train" in plain and len(set(plain)) > 1


def find(pictures: Iterable[Parts], folder: str = "DIR") -> Layout:
    """Where the classes of these pictures are.

    Args:
        pictures: the paths of all files that are meant as pictures, below the folder.
        folder: as messages name it.

    Raises:
        DataError: splits beside classes, splits without classes, or several data sets.
    """
    root = _tree(pictures)
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


def _without_splits(root: _Folder, top: _Folder, folder: str) -> Layout:
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


def _tree(pictures: Iterable[Parts]) -> _Folder:
    root = _Folder()
    for parts in pictures:
        folder = root
        for depth, name in enumerate(parts[:-1], 1):
            folder = folder.folders.setdefault(name, _Folder(parts[:depth]))
        folder.has_files = True
    return root


def _one_level_too_high(tops: list[_Folder]) -> tuple[tuple[str, ...], tuple[str, ...]]:
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


def _where(folder: _Folder) -> str:
    return str(folder) or "the folder"


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    rest = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return ", ".join(ordered[:5]) + rest
