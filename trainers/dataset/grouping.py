"""Assigns a source to each picture: the video, patient or plant that it comes from.

The measured accuracy is too high if frames of one video are in both training and test. So the user
can give the source of each picture with --group, by a regular expression for paths or by a table.
Like duplicates, pictures of one source are put into the same split and the same cross-validation
fold. If the folder itself names the splits, a source may be in several of them; the check of the
dataset reports this.
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
from trainers.dataset import connected_components
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import format_names
from trainers.dataset.group_rule import check_group
from trainers.progress import log

COLUMNS = ("path", "group")


def assign_sources(dataset: Dataset, rule: str | None) -> Dataset:
    """Return the dataset with the source of every picture.

    Without a rule, or if a table of labels has given the sources, the dataset is not changed.

    Args:
        dataset: the pictures.
        rule: the value of --group: the path of a CSV file with the columns `path` and `group`, or a
            regular expression for paths relative to the data folder. The source is what the first
            capture group matches, or the whole match if the expression has no group.

    Raises:
        ConfigError: the table cannot be read, or the regular expression is not valid.
        DataError: the rule finds no source for any picture.
    """
    if dataset.sources:
        _log_sources(dataset.sources, "the table of labels")
        return dataset
    if not rule:
        return dataset
    if is_table(rule):
        table = read_table(Path(rule))
        sources = tuple(table.get(path, "") for path in dataset.paths)
    else:
        check_group(rule)
        sources = tuple(match_source(rule, path) for path in dataset.paths)
    if not any(sources):
        columns = "" if dataset.layout.roots else "; ".join(dataset.layout.notes)
        raise DataError(
            f"--group (={rule!r}) finds no source for any of the {len(sources):,} pictures: it "
            f"must {'list' if is_table(rule) else 'match'} paths such as "
            f"{format_names(list(dataset.paths), 2)}"
            + (columns and f", or name a column of the table ({columns})")
        )
    _log_sources(sources, "--group")
    return replace(dataset, sources=sources)


def _log_sources(sources: Sequence[str], origin: str) -> None:
    """Log how many sources were found, and warn about pictures without one.

    Args:
        origin: what names the sources, as the first word of the message.
    """
    counts = Counter(filter(None, sources))
    log.info(
        "%s finds %d source%s, such as %s; number of pictures in the largest: %d",
        *(origin, len(counts), "" if len(counts) == 1 else "s"),
        *(format_names([f"`{name}`" for name in counts], 3), max(counts.values())),
    )
    if without := sources.count(""):
        log.warning(
            "%s finds no source for %d picture%s: each of them counts as a separate source",
            *(origin, without, "" if without == 1 else "s"),
        )


def match_source(pattern: str, path: str) -> str:
    """Return the source that a regular expression finds in a path; "" if it finds none."""
    match = re.search(pattern, path)
    if not match:
        return ""
    return (match.group(1) if match.re.groups else match.group()) or ""


def read_table(path: Path) -> Mapping[str, str]:
    """Read a CSV file with the source of each picture.

    Returns:
        Sources, by the path of the picture relative to the data folder.

    Raises:
        ConfigError: the file cannot be read, or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := set(COLUMNS) - set(reader.fieldnames or ()):
                raise ConfigError(
                    f"--group: {path} has no column {format_names(sorted(missing))}: its first "
                    "line must name the columns `path` (relative to the data folder) and `group`"
                )
            rows = [(row["path"], row["group"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{error}; save it in UTF-8"
        raise ConfigError(f"--group: {path} cannot be read: {reason}") from error
    return {
        (name or "").replace("\\", "/").removeprefix("./"): source or "" for name, source in rows
    }


def merge_groups(dataset: Dataset) -> NDArray[np.int64]:
    """Group the pictures that must share a split: those of one source, and duplicates.

    Returns:
        (N,) int64, for each picture the first row of its group.
    """
    if not dataset.sources:
        return dataset.duplicate_groups
    first: dict[str, int] = {}
    by_source = [
        first.setdefault(source, row) if source else row
        for row, source in enumerate(dataset.sources)
    ]
    links = np.array(by_source, np.int64)
    return connected_components.join(dataset.duplicate_groups, np.arange(len(links)), links)


def explain_coarse_sources(dataset: Dataset) -> str:
    """Say what is wrong with --group if every class has only one source; otherwise return ""."""
    by_class: dict[int, set[str]] = {}
    for label, source in zip(dataset.labels.tolist(), dataset.sources, strict=False):
        by_class.setdefault(label, set()).add(source)
    if not by_class or any(len(names) > 1 or "" in names for names in by_class.values()):
        return ""
    names = sorted(set().union(*by_class.values()))
    pictures = f"all {len(dataset.paths):,} pictures" if len(names) == 1 else "each class"
    return (
        f"--group finds only one source in {pictures} "
        f"({format_names([f'`{name}`' for name in names], 3)}): change --group to find several "
        f"sources within a class, in paths such as {format_names(list(dataset.paths), 2)}"
    )


def split_keys(dataset: Dataset) -> Sequence[str]:
    """Return a key for each picture; the hash of the key decides the split of the picture.

    The key is the source of the picture (its video, patient or plant, see --group). For a picture
    without a source, the key is the digest of its file.
    """
    if not dataset.sources:
        return dataset.digests
    pairs = zip(dataset.sources, dataset.digests, strict=True)
    return [f"source {source}" if source else digest for source, digest in pairs]
