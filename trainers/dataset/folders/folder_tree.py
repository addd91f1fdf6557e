"""The folders that hold pictures, as a tree, and which of them are splits of what lies beside."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from trainers.dataset.folders.filenames import UNLABELLED, is_plain_split, looks, split_of

Parts = tuple[str, ...]
"""Of a path, below the folder that was named."""


class Folder:
    """A folder that holds pictures, at any depth.

    Attributes:
        parts: its path.
        has_files: whether pictures lie directly in it.
        folders: those in it that hold pictures, by name.
    """

    def __init__(self, parts: Parts = ()) -> None:
        self.parts, self.has_files = parts, False
        self.folders: dict[str, Folder] = {}

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
    def splits(self) -> dict[str, Folder]:
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
    def inner(self) -> Folder:
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


def tree(pictures: Iterable[Parts]) -> Folder:
    """The root: each folder above a picture is in it."""
    root = Folder()
    for parts in pictures:
        folder = root
        for depth, name in enumerate(parts[:-1], 1):
            folder = folder.folders.setdefault(name, Folder(parts[:depth]))
        folder.has_files = True
    return root
