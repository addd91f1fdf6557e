"""Finds the pictures that neither of two models has learned from, and reads them."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from service.bundle.reading import Bundle
from service.errors import BundleError, GraftError
from trainers.dataset import scanning
from trainers.dataset.splits.split_table import SplitRow, read_split
from trainers.progress import log


class UnusablePicture(GraftError):
    """A picture that cannot be compared; the message is the end of a sentence about pictures."""


@dataclass(frozen=True)
class UnseenPictures:
    """The test pictures of two models that neither was trained or validated on.

    Attributes:
        rows: the pictures to compare the models with; their classes are known to both models.
        left_out: number of pictures of each class that only one of the models has.
    """

    rows: list[SplitRow]
    left_out: dict[str, int]


def find_unseen(new: Bundle, old: Bundle) -> UnseenPictures:
    """Find the test pictures of either model that neither was trained or validated on.

    Pictures are recognised by hash, or by path if one of the bundles does not record all hashes.
    A picture counts once. If both models tested it, its class is the one that the new model has.

    Raises:
        BundleError: no picture is left to compare the models with.
    """
    splits = [read_split(bundle) for bundle in (new, old)]
    rows = [row for split in splits for row in split]
    if all(row.sha256 for row in rows):
        keys = [row.sha256 for row in rows]
    else:
        log.warning(
            "pictures are compared by path, because one of the two bundles does not record their "
            "hashes: a renamed picture counts as unseen, even if a model was trained on it. To "
            "compare by hash, train both models with this version of Graft"
        )
        keys = [row.path for row in rows]
    learned = {key for key, row in zip(keys, rows, strict=True) if row.split != "test"}
    tested = dict(zip(reversed(keys), reversed(rows), strict=True))  # the new model's row is kept
    unseen = [tested[key] for key in dict.fromkeys(keys) if key not in learned]
    classes = set(new.manifest.classes) & set(old.manifest.classes)
    common = [row for row in unseen if row.label in classes]
    if not common:
        raise BundleError(_explain(new, old, splits, unseen))
    return UnseenPictures(
        common, dict(Counter(row.label for row in unseen if row.label not in classes))
    )


def read_picture(row: SplitRow, folder: Path) -> bytes:
    """Read a picture of a split.csv.

    Raises:
        UnusablePicture: the file is missing, cannot be read, or has changed since the split.
    """
    try:
        content = scanning.picture_path(folder, row.path).read_bytes()
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        raise UnusablePicture("are missing" if is_missing else "cannot be read") from error
    if row.sha256 not in ("", hashlib.sha256(content).hexdigest()):
        raise UnusablePicture("have changed")
    return content


def _explain(new: Bundle, old: Bundle, splits: list[list[SplitRow]], unseen: list[SplitRow]) -> str:
    """Write the error message if no picture is left."""
    if unseen:
        return (
            f"the models in {new.path} and {old.path} have no class in common for which there is a "
            "picture that is new to both: they cannot replace each other. Give one of them another "
            "--name"
        )
    counts = [sum(row.split == "test" for row in split) for split in splits]
    return (
        "no picture is left to compare the models with: each test picture of one of them "
        f"was used to train or validate the other (new model in {new.path}, test pictures: "
        f"{counts[0]}; old model in {old.path}, test pictures: {counts[1]}). Train the new model "
        "with the --seed of the old one, which selects the same test pictures"
    )
