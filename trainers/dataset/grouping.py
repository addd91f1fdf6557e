"""Assigns sources: the video, patient or plant that a picture comes from.

A model looks too good when frames of one video are in both training and test. `--group` names the
source of a picture, by a regular expression on its path or by a table; pictures with a common
source, and duplicates, share a split and a fold.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.config import ConfigError, is_table
from trainers.dataset import components
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import format_names
from trainers.progress import log

COLUMNS = ("path", "group")


def assign_sources(dataset: Dataset, rule: str | None) -> Dataset:
    """Set the source of every picture from `--group`; without a rule, return the same dataset.

    Args:
        rule: a regular expression, whose first group (or whole match) in a path relative to the
            folder names the source; or the path of a CSV file with columns `path` and `group`.

    Raises:
        ConfigError: the table cannot be read.
        DataError: the rule names the source of no picture.
    """
    if not rule:
        return dataset
    if is_table(rule):
        table = read_table(Path(rule))
        sources = tuple(table.get(path, "") for path in dataset.paths)
    else:
        sources = tuple(match_source(rule, path) for path in dataset.paths)
    counts = Counter(filter(None, sources))
    if not counts:
        raise DataError(
            f"--group (={rule!r}) names the source of none of {len(sources):,} pictures, such as "
            f"{format_names(list(dataset.paths), 2)}: it is matched against such paths"
        )
    log.info(
        "%d source%s by --group, such as %s; the largest has %d pictures",
        *(len(counts), "" if len(counts) == 1 else "s"),
        *(format_names([f"`{name}`" for name in counts], 3), max(counts.values())),
    )
    if without := sources.count(""):
        log.warning("--group names no source of %d pictures: each counts as its own", without)
    return replace(dataset, sources=sources)


def match_source(pattern: str, path: str) -> str:
    """The source that a regular expression finds in a path; "" where it does not match."""
    match = re.search(pattern, path)
    if not match:
        return ""
    return (match.group(1) if match.re.groups else match.group()) or ""


def read_table(path: Path) -> Mapping[str, str]:
    """Read the source of each picture, by its path relative to the folder.

    Raises:
        ConfigError: the file cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := set(COLUMNS) - set(reader.fieldnames or ()):
                raise ConfigError(
                    f"--group: {path} has no column {format_names(sorted(missing))}: its first "
                    "line must name `path` (relative to the folder) and `group`"
                )
            rows = [(row["path"], row["group"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"--group: {path} cannot be read: {reason}") from error
    return {
        (name or "").replace("\\", "/").removeprefix("./"): source or "" for name, source in rows
    }


def merge_groups(dataset: Dataset) -> NDArray[np.int64]:
    """The first row (N,) of the pictures that must share a split: one source, or duplicates."""
    if not dataset.sources:
        return dataset.duplicate_groups
    first: dict[str, int] = {}
    by_source = [
        first.setdefault(source, row) if source else row
        for row, source in enumerate(dataset.sources)
    ]
    links = np.array(by_source, np.int64)
    return components.join(dataset.duplicate_groups, np.arange(len(links)), links)


def explain_coarse_sources(dataset: Dataset) -> str:
    """What is wrong when every class has only one source; "" where one has several."""
    by_class: dict[int, set[str]] = {}
    for label, source in zip(dataset.labels.tolist(), dataset.sources, strict=False):
        by_class.setdefault(label, set()).add(source)
    if not by_class or any(len(names) > 1 or "" in names for names in by_class.values()):
        return ""
    names = sorted(set().union(*by_class.values()))
    pictures = f"all {len(dataset.paths):,} pictures" if len(names) == 1 else "each class"
    return (
        f"--group made one source of {pictures} ({format_names([f'`{name}`' for name in names], 3)}"
        "): it has to tell apart the sources within a class, in paths such as "
        f"{format_names(list(dataset.paths), 2)}"
    )


def split_keys(dataset: Dataset) -> Sequence[str]:
    """What decides the split of each picture: its source, or its digest where it has none."""
    if not dataset.sources:
        return dataset.digests
    pairs = zip(dataset.sources, dataset.digests, strict=True)
    return [f"source {source}" if source else digest for source, digest in pairs]
