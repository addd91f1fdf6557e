"""Lists the pictures of one or several tables of labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from trainers.dataset.folders.entries import UNPRINTABLE
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import (
    UNLABELLED,
    escape,
    format_names,
    is_printable,
    normalize,
)
from trainers.dataset.folders.layout import Layout
from trainers.dataset.folders.scan import LeftOut, PictureFile, Scan, format_left_out
from trainers.dataset.tables.labels import Label, TableError, Task, read_labels
from trainers.dataset.tables.locating import locate
from trainers.dataset.tables.uris import is_remote, is_uri
from trainers.progress import Progress


class _Row(NamedTuple):
    """A row of a table.

    Attributes:
        label: the content of the row.
        file: the file of the picture, or why it is not used, as the end of a sentence. Files of
            unlabelled pictures are not looked for, so that they are not downloaded.
        place: where the row is, such as "labels.csv, line 12".
    """

    label: Label
    file: Path | str
    place: str


def scan_tables(
    data_path: Path,
    folder: Path,
    tables: Mapping[Path, str],
    group: str | None,
    progress: Progress,
    task: Task,
) -> Scan:
    """List the pictures of tables of labels, and their classes.

    Args:
        data_path: the table, folder or archive, as the user named it; messages show this path.
        folder: the names of the pictures are relative to this folder.
        tables: for each table the split of its pictures; "" if the table itself names the splits.
        group: the value of --group; it may be the name of a column.
        progress: shows the progress of downloads.
        task: the value of --task.

    Raises:
        TableError: it is not clear which table has the labels; or a table cannot be read, or names
            no picture that exists.
        DataError: a table has a wrong cell, or gives a picture two classes, splits or groups.
        OSError: a table cannot be opened.
    """
    if len(tables) > 1 and "" in tables.values():
        raise TableError(
            f"--data {data_path} has several tables ({format_names([t.name for t in tables])}): "
            f"set --data to the one with the labels, e.g. --data {next(iter(tables))}"
        )
    rows: list[_Row] = []
    names: dict[str, list[str]] = {}  # of the tables, by their columns
    for table, split in tables.items():
        new_rows, columns = _read_rows(table, folder, split, group, progress, task)
        rows += new_rows
        names.setdefault(columns, []).append(_relative(table, folder))
    is_multi_label = task == "multi-label"
    found: dict[str, _Row] = {}
    left_out: list[LeftOut] = []
    for row in rows:
        reason, kind = _why_not_used(row, task)
        if reason:
            left_out.append(LeftOut(escape(row.label.path), reason, kind, row.place))
            continue
        name = _name(row, folder)
        first = found.setdefault(name, row)
        if not _fits(first.label, row.label, is_multi_label):
            raise DataError(
                f"--data {data_path}: {escape(name)} has another class, split or group in "
                f"{row.place} than in {first.place}: keep one of them"
                + ("; or add --task multi-label to train with several labels" * (task == "auto"))
            )
        names_of_all = tuple(sorted({*first.label.names, *row.label.names}))
        found[name] = first._replace(label=replace(first.label, names=names_of_all))
    if not found:
        raise TableError(f"{data_path} has no picture to use" + format_left_out(left_out))
    pictures = tuple(
        PictureFile(Path(row.file), name, row.label.text, row.label.split, row.label.group)
        for name, row in sorted(found.items())
    )
    used = {name for row in rows if row.label.split != UNLABELLED for name in row.label.names}
    notes = [f"the columns of {', '.join(those)}: {columns}" for columns, those in names.items()]
    if empty := sum(not picture.label for picture in pictures):
        notes.append(f"number of pictures without a label, examples of none of them: {empty:,}")
    layout, classes = Layout({}, tuple(notes)), tuple(sorted(used))
    return Scan(data_path, folder, pictures, classes, tuple(left_out), layout, is_multi_label)


def find_contradiction(table: Path, folder: Path, classes: Mapping[str, str]) -> str:
    """Say which picture has another class in a table than in the folders; "" if none has.

    Args:
        classes: the class of each picture of the folder, by its name.
    """
    try:
        labels, _ = read_labels(table, task="single-label")
    except (DataError, OSError):  # this file is about something else
        return ""
    labels = [label for label in labels if label.names and not is_uri(label.path)]
    files = locate([label.path for label in labels], table.parent, Progress(is_quiet=True))
    for label, file in zip(labels, files, strict=True):
        name = _relative(file, folder) if isinstance(file, Path) else ""
        if name in classes and normalize(classes[name]) != normalize(label.text):
            return f"{name} is `{label.text}` in {table.name}, {label.place}"
    return ""


def _read_rows(
    table: Path, folder: Path, split: str, group: str | None, progress: Progress, task: Task
) -> tuple[list[_Row], str]:
    """Read the rows of a table; also return its columns, as text."""
    labels, columns = read_labels(table, group, task)
    labels = [replace(label, split=split or label.split) for label in labels]
    paths = list({label.path: None for label in labels if not _why_unlabelled(label, task)})
    files = dict(zip(paths, locate(paths, table.parent, progress), strict=True))
    name = _relative(table, folder)
    rows = [
        _Row(label, _why_unlabelled(label, task) or files[label.path], f"{name}, {label.place}")
        for label in labels
    ]
    return rows, str(columns)


def _fits(first: Label, other: Label, is_multi_label: bool) -> bool:
    """Whether two rows of a picture agree; those of a multi-label table may add up their labels."""
    is_same_place = (first.split, first.group) == (other.split, other.group)
    return is_same_place and (is_multi_label or first.names == other.names)


def _why_unlabelled(label: Label, task: Task) -> str:
    """Return why a picture is not one to train on; "" if it is."""
    if not label.names and task != "multi-label":
        return "has no label"
    return "is in a split of unlabelled pictures" if label.split == UNLABELLED else ""


def _why_not_used(row: _Row, task: Task) -> tuple[str, str]:
    """Return why a picture of a table is left out, and the kind of finding; "" if it is not."""
    if isinstance(row.file, str):
        return row.file, "" if _why_unlabelled(row.label, task) else "unreadable"
    name = row.label.path if is_uri(row.label.path) else str(row.file)
    return ("", "") if is_printable(name) else (UNPRINTABLE.reason, UNPRINTABLE.kind)


def _name(row: _Row, folder: Path) -> str:
    """Return the name of a picture: its path relative to the folder, or its URI."""
    path = row.label.path
    return path if is_remote(path) else _relative(Path(row.file), folder)


def _relative(path: Path, folder: Path) -> str:
    """Return the path of a file relative to the folder, or absolute if it is not in there."""
    absolute = _absolute(path)
    for parent in (_absolute(folder), folder.resolve()):
        if absolute.is_relative_to(parent):
            return absolute.relative_to(parent).as_posix()
    return absolute.as_posix()


def _absolute(path: Path) -> Path:
    """Return the absolute path of a file or folder, without `..`.

    Links are not followed, because a link in the data folder belongs to it. There is one exception:
    `..` after a link is the folder above the target of the link, as for the operating system.
    """
    absolute = Path(os.path.normpath(Path.cwd() / path))
    if ".." in path.parts and path.exists() and not (absolute.exists() and path.samefile(absolute)):
        return path.resolve()
    return absolute
