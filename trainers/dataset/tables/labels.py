"""Converts each record of a table to a `Label`: path, class, split and group of one picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import SPLIT_WORDS, escape, normalize
from trainers.dataset.tables.columns import Columns, choose_columns
from trainers.dataset.tables.records import Record, read_records

MAX_LABEL = 200
"""The largest number of characters in the name of a class."""


class TableError(DataError):
    """A file is not a table of labels, or not the one that is meant."""


@dataclass(frozen=True)
class Label:
    """The label of a picture.

    Attributes:
        place: where it is in the table, for messages, such as "line 12".
        path: the path of the picture as the table has it, with / as separator.
        name: the class; "" if the cell is empty.
        split: a name from SPLITS, UNLABELLED, or "" if the table does not name a split.
        group: the group; "" if the table does not name one.
    """

    place: str
    path: str
    name: str
    split: str
    group: str


def read_labels(table: Path, group: str | None = None) -> tuple[list[Label], Columns]:
    """Read the labels of a table.

    Args:
        group: the value of --group, which may be the name of a column.

    Returns:
        The labels in the order of the table, and the columns that they come from.

    Raises:
        TableError: the table cannot be read, or has no columns with paths and classes.
        DataError: a cell cannot be interpreted.
        OSError: the file cannot be opened.
    """
    try:
        records = read_records(table)
        columns = choose_columns(table, records, group)
    except DataError as error:
        raise TableError(str(error)) from error
    labels = []
    for record in records:
        try:
            labels.append(_make_label(record, columns))
        except ValueError as error:
            raise DataError(f"--data {table}, {record.place}: {error}") from error
    return labels, columns


def _make_label(record: Record, columns: Columns) -> Label:
    """Make the label of a record.

    Raises:
        ValueError: a cell cannot be interpreted; the message is the end of a sentence.
    """
    path = record.cells.get(columns.path, "").replace("\\", "/").removeprefix("./")
    if not path:
        raise ValueError(f"the cell `{columns.path}` is empty: it must have the path of a picture")
    split = record.cells.get(columns.split, "")
    key = normalize(split)
    if key and key not in SPLIT_WORDS:
        raise ValueError(
            f"the split is `{escape(split)}`, but must be train, validation, test or empty"
        )
    group = escape(record.cells.get(columns.group, ""))
    name = escape(columns.label_of(record))
    if len(name) > MAX_LABEL:
        raise ValueError(f"the class is longer than {MAX_LABEL} characters: `{name[:20]}...`")
    if "\n" in path + split + group + name:
        raise ValueError("a cell has a line break: perhaps a quote is opened and not closed")
    return Label(record.place, path, name, SPLIT_WORDS.get(key, ""), group)
