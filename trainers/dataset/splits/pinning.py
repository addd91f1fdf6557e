"""Keeps the split of an earlier bundle, so that models can be compared on the same test pictures.

Pictures are recognised by their content (SHA-256), wherever they lie now. New pictures that are
duplicates of such a picture, or come from the same source (--group), get its split, too: otherwise
the model could learn from copies of test pictures.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from trainers.config import ConfigError
from trainers.dataset import grouping
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import SPLITS, format_names
from trainers.dataset.splits.split_table import FILE_NAME, SplitRow, read_rows
from trainers.progress import log

_PRECEDENCE = ("test", "validation", "train")
"""If several pictures decide the split of another one, the first of their splits in this order is
used: no picture of the group moves from the test to training."""


@dataclass(frozen=True)
class PinnedSplit:
    """The splits of pictures that an earlier split.csv decides.

    Attributes:
        splits: for each picture of the dataset a name from SPLITS, or "" if it is split as usual.
        record: numbers of pictures, for the manifest. `kept` are in the file; `followed` are new,
            but duplicates of pictures in the file, or of the same source; `new` are split as usual;
            `relabelled` are kept, but have another class than in the file; `gone` are in the file,
            but not in the dataset.
    """

    splits: tuple[str, ...]
    record: Mapping[str, int] = field(default_factory=dict)

    def release(self, dataset: Dataset) -> Dataset:
        """Return the dataset for the usual split, in which folders do not bind training pictures.

        A picture that is pinned to training may lie in a folder of test pictures.
        """
        pairs = zip(self.splits, dataset.splits, strict=True)
        splits = tuple("" if pinned == "train" else split for pinned, split in pairs)
        return dataset.with_splits(splits)

    def apply(self, dataset: Dataset) -> Dataset:
        """Return the dataset with the pinned splits; other pictures keep theirs."""
        pairs = zip(self.splits, dataset.splits, strict=True)
        splits = tuple(pinned or split for pinned, split in pairs)
        return replace(dataset, splits=splits, pinned=self.record)


def read_pins(option: str | None) -> Mapping[str, SplitRow]:
    """Read the file that --split names; return its rows by SHA-256.

    Args:
        option: the path of a split.csv or of a bundle; None gives no rows.

    Raises:
        ConfigError: the file cannot be read, is not a split.csv, or has no hashes.
    """
    if option is None:
        return {}
    path = Path(option)
    path = path / FILE_NAME if path.is_dir() else path
    usage = "--split takes the folder of a bundle, or its split.csv"
    try:
        rows = read_rows(path)
    except OSError as error:
        raise ConfigError(f"--split: {path} cannot be read: {error.strerror}; {usage}") from error
    except (KeyError, ValueError, csv.Error) as error:
        reason = f"it has no column {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"--split: {path} is not a split.csv: {reason}; {usage}") from error
    if unknown := sorted({row.split for row in rows} - set(SPLITS)):
        raise ConfigError(
            f"--split: {path} has the unknown split {unknown[0]!r}; splits are {', '.join(SPLITS)}"
        )
    without_hash = sum(not row.sha256 for row in rows)
    if without_hash or not rows:
        raise ConfigError(
            f"--split: {path} has {without_hash} of {len(rows)} rows without a hash (column "
            "sha256), so these pictures cannot be recognised: the file is empty, was changed, or "
            "comes from an older version of Graft. Use the split of a newer bundle"
        )
    pins: dict[str, SplitRow] = {}
    for row in sorted(rows, key=lambda row: _PRECEDENCE.index(row.split)):
        pins.setdefault(row.sha256.lower(), row)
    return pins


def match_pins(dataset: Dataset, pins: Mapping[str, SplitRow]) -> PinnedSplit:
    """Find the pictures of an earlier split in a dataset; log how many were found.

    A picture that is in the earlier split keeps its split, even if its folder names another one. A
    new picture in a group with such pictures (duplicates, or one source) gets their split. If they
    have several, it gets the first of test, validation and train.

    Args:
        dataset: the pictures, with their sources.
        pins: rows by SHA-256, from `read_pins`; without rows, nothing is pinned.

    Raises:
        DataError: the dataset has none of the pictures.
    """
    if not pins:
        return PinnedSplit(("",) * len(dataset.paths))
    rows = [pins.get(digest) for digest in dataset.digests]
    kept = [(number, row) for number, row in enumerate(rows) if row]
    if not kept:
        raise DataError(
            f"{dataset.title}: --split names {len(pins):,} pictures, but none of them is here. "
            "Pictures are recognised by the bytes of their files, so resized or re-encoded copies "
            "are not found: use the split of a model that was trained on these pictures"
        )
    groups = grouping.merge_groups(dataset)
    split_of_group: dict[int, str] = {}
    for number, row in sorted(kept, key=lambda pair: _PRECEDENCE.index(pair[1].split)):
        split_of_group.setdefault(int(groups[number]), row.split)
    splits = tuple(
        row.split if row else split_of_group.get(int(group), "")
        for row, group in zip(rows, groups, strict=True)
    )
    names = dataset.names(np.arange(len(dataset.paths)))
    record = {
        "kept": len(kept),
        "followed": sum(map(bool, splits)) - len(kept),
        "new": splits.count(""),
        "relabelled": sum(names[at] != row.label for at, row in kept),
        "gone": len(set(pins) - set(dataset.digests)),
    }
    _log_match(dataset, rows, splits, record)
    return PinnedSplit(splits, record)


def check_pinned(dataset: Dataset) -> None:
    """Check that training and test are possible with the pinned splits.

    Raises:
        DataError: a class has no training picture, or there is no test picture.
    """
    counts = dataset.count_classes(dataset.rows("train"))
    if lacking := [f"`{dataset.classes[at]}`" for at in np.flatnonzero(counts == 0)]:
        raise DataError(
            f"{dataset.title}: with --split, no training picture is left of {format_names(lacking)}"
            ": add pictures of each such class, or train without --split"
        )
    if not len(dataset.rows("test")):
        raise DataError(
            f"{dataset.title}: with --split, no test picture is left: bring back pictures of its "
            "test, or train without --split"
        )


def _log_match(
    dataset: Dataset,
    rows: Sequence[SplitRow | None],
    splits: Sequence[str],
    record: Mapping[str, int],
) -> None:
    """Log the counts; warn about new pictures that are not split as usual, and about labels."""
    log.info(
        "--split: %d pictures keep their split, %d are new and split as usual; %d pictures of the "
        "file are gone",
        *(record["kept"], record["new"], record["gone"]),
    )
    if record["followed"]:
        pairs = zip(dataset.paths, rows, splits, strict=True)
        names = [path for path, row, split in pairs if split and not row]
        counts = Counter(split for row, split in zip(rows, splits, strict=True) if not row)
        where = ", ".join(f"{counts[name]} to {name}" for name in _PRECEDENCE if counts[name])
        log.warning(
            "--split: new pictures that are duplicates of pictures in the file, or come from the "
            "same source, get the split of those (%s): %s",
            *(where, format_names(names, 3)),
        )
    if record["relabelled"]:
        labels = dataset.names(np.arange(len(dataset.paths)))
        names = [
            f"{path} (`{row.label}`, now `{label}`)"
            for path, row, label in zip(dataset.paths, rows, labels, strict=True)
            if row and row.label != label
        ]
        log.warning(
            "--split: number of pictures that keep their split, but have another class than in "
            "the file: %d (%s)",
            *(record["relabelled"], format_names(names, 3)),
        )
