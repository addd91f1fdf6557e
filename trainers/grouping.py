"""Which pictures belong together because they come from one source: a video, a patient, a plant.

Frames of one video in both training and test make any model look good. `--group` names the source
of a picture, by a regular expression on its path or by a table; whatever shares a source, or shows
the same shot, shares a split and a fold.
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

from trainers import components
from trainers.config import ConfigError, is_table
from trainers.data import Dataset, some
from trainers.progress import log
from trainers.scanning import DataError

COLUMNS = ("path", "group")


def group(dataset: Dataset, rule: str | None) -> Dataset:
    """Give every picture its source, as `--group` says; without a rule, none has one.

    Args:
        rule: a regular expression, whose first group (or whole match) in a path relative to the
            folder names the source; or the path of a CSV file with columns `path` and `group`.

    Raises:
        ConfigError: the table cannot be read.
        DataError: the rule names no picture's source.
    """
    if not rule:
        return dataset
    if is_table(rule):
        table = read_table(Path(rule))
        sources = tuple(table.get(path, "") for path in dataset.paths)
    else:
        sources = tuple(source(rule, path) for path in dataset.paths)
    counts = Counter(filter(None, sources))
    if not counts:
        raise DataError(
            f"--group (={rule!r}) names the source of none of {len(sources):,} pictures, such as "
            f"{some(list(dataset.paths), 2)}: it is searched in such names"
        )
    lone = sum(not one for one in sources)
    log.info(
        "%d source%s by --group, such as %s; the largest has %d pictures",
        *(len(counts), "" if len(counts) == 1 else "s"),
        *(some([f"`{one}`" for one in counts], 3), max(counts.values())),
    )
    if lone:
        log.warning("--group names no source of %d pictures: each counts as its own", lone)
    return replace(dataset, sources=sources)


def source(pattern: str, path: str) -> str:
    """What the expression finds in a path; nothing where it finds nothing."""
    found = re.search(pattern, path)
    if not found:
        return ""
    return (found.group(1) if found.re.groups else found.group()) or ""


def read_table(path: Path) -> Mapping[str, str]:
    """Sources by the paths of pictures, relative to the folder.

    Raises:
        ConfigError: the file cannot be read, or has no such columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := set(COLUMNS) - set(reader.fieldnames or ()):
                raise ConfigError(
                    f"--group: {path} has no column {some(sorted(missing))}: its first line must "
                    "name `path` (relative to the folder) and `group`"
                )
            rows = [(row["path"], row["group"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"--group: {path} cannot be read: {reason}") from error
    return {(name or "").replace("\\", "/").removeprefix("./"): of or "" for name, of in rows}


def together(dataset: Dataset) -> NDArray[np.int64]:
    """The first row (N,) of all that belong together with a picture: by source, or duplicates."""
    if not dataset.sources:
        return dataset.groups
    first: dict[str, int] = {}
    named = [first.setdefault(one, row) if one else row for row, one in enumerate(dataset.sources)]
    return components.join(dataset.groups, np.arange(len(named)), np.array(named, np.int64))


def too_coarse(dataset: Dataset) -> str:
    """What is wrong with sources of which a class has but one; nothing where one has several."""
    own: dict[int, set[str]] = {}
    for label, name in zip(dataset.labels.tolist(), dataset.sources, strict=False):
        own.setdefault(label, set()).add(name)
    if not own or any(len(names) > 1 or "" in names for names in own.values()):
        return ""
    names = sorted(set().union(*own.values()))
    what = f"all {len(dataset.paths):,} pictures" if len(names) == 1 else "each class"
    return (
        f"--group made one source of {what} ({some([f'`{one}`' for one in names], 3)}): it has to "
        f"tell apart what a class comes from, in paths such as {some(list(dataset.paths), 2)}"
    )


def origins(dataset: Dataset) -> Sequence[str]:
    """What a picture is drawn by: its source, or its content where it has none."""
    if not dataset.sources:
        return dataset.digests
    pairs = zip(dataset.sources, dataset.digests, strict=True)
    return [f"source {one}" if one else digest for one, digest in pairs]
