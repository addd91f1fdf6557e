"""The tree of the folders that hold pictures; it finds out which of these folders are splits."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from trainers.dataset.folders.filenames import UNLABELLED, is_split_name, normalize, split_of

Parts = tuple[str, ...]
"""The parts of a path relative to the data folder, as in `PurePath.parts`."""


class Folder:
    """A folder that holds pictures, directly or in folders below it.

    Attributes:
        parts: the parts of the path relative to the data folder.
        has_files: whether the folder holds pictures directly.
        subfolders: the folders in this folder that hold pictures, by name.
    """

    def __init__(self, parts: Parts = ()) -> None:
        self.parts, self.has_files = parts, False
        self.subfolders: dict[str, Folder] = {}

    def __str__(self) -> str:
        return "/".join(self.parts)

    @property
    def name(self) -> str:
        return self.parts[-1] if self.parts else ""

    @cached_property
    def mentioned_splits(self) -> dict[str, str]:
        """The subfolders whose names mention a split: name of the subfolder -> split.

        Such a subfolder need not be a split: a class may be called `test_tube`.
        """
        return {name: split for name in self.subfolders if (split := split_of(name))}

    @cached_property
    def split_folders(self) -> dict[str, Folder]:
        """The subfolders that are splits: name of the subfolder -> its `class_root`.

        Empty unless one of these splits is for training and holds class folders.
        """
        roots = {
            name: self.subfolders[name].class_root
            for name in self.mentioned_splits
            if is_split_name(name) or self._shares_classes(name)
        }
        splits = {self.mentioned_splits[name] for name in roots} - {UNLABELLED}
        training = [root for name, root in roots.items() if self.mentioned_splits[name] == "train"]
        if len(splits) == 1:  # perhaps a class called train, with pictures and folders
            training = [root for root in training if not root.has_files]
        return roots if any(root.subfolders for root in training) else {}

    @cached_property
    def class_root(self) -> Folder:
        """The folder whose subfolders are the classes.

        Usually it is this folder itself. If this folder holds nothing but a single folder, the
        class root may be that inner folder, or one further down.
        """
        root = self
        while len(root.subfolders) == 1 and not root.has_files:
            (only,) = root.subfolders.values()
            # train/train is a single split; a folder with only train in it has splits.
            if only.has_files or (not split_of(root.name) and root.split_folders):
                break
            root = only
        return root

    def _shares_classes(self, name: str) -> bool:
        """Whether a subfolder whose name mentions a split is a split, judging by its class folders.

        It is a split if a subfolder that mentions another split has at least one class of the same
        name. A subfolder of unlabelled pictures is also a split if it has no class folders. A
        subfolder test_tube/ meets neither condition, so it is a class.
        """
        split, root = self.mentioned_splits[name], self.subfolders[name].class_root
        other_splits = [
            self.subfolders[other] for other, word in self.mentioned_splits.items() if word != split
        ]
        is_flat = split == UNLABELLED and set(root.subfolders) <= set(root.mentioned_splits)
        labels = {
            normalize(label) for other in other_splits for label in other.class_root.subfolders
        }
        return is_flat or bool(labels & set(map(normalize, root.subfolders)))

    @property
    def is_class_of_splits(self) -> bool:
        """Whether this is a class folder that holds only splits, e.g. cat/ with train/ and test/.

        One of the splits must be for training, and the splits must hold no folders.
        """
        splits = [self.mentioned_splits[name] for name in self.subfolders if is_split_name(name)]
        is_flat = not any(folder.subfolders for folder in self.subfolders.values())
        has_splits_only = len(splits) == len(self.subfolders) and not self.has_files
        return has_splits_only and is_flat and "train" in splits and len(set(splits)) > 1


def build_tree(pictures: Iterable[Parts]) -> Folder:
    """Build the tree of the folders that hold these pictures; return the root of the tree."""
    root = Folder()
    for parts in pictures:
        folder = root
        for depth, name in enumerate(parts[:-1], 1):
            folder = folder.subfolders.setdefault(name, Folder(parts[:depth]))
        folder.has_files = True
    return root
