"""Converts each record of a table to a `Label`: path, labels, split and group of one picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import SPLIT_WORDS, escape, format_names, normalize
from trainers.dataset.tables.columns import Columns, choose_columns
from trainers.dataset.tables.records import Record, read_records

Task = Literal["auto", "single-label", "multi-label"]
"""The value of --task; auto = single-label, but a cell that seems to hold several labels is an
error."""
SEPARATOR: Final = "|"
"""Joins the labels of a picture to one text. Names of labels cannot contain it."""
_SEPARATORS: Final = r"[|;]"
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
        names: the labels, sorted; empty if the cell is empty. Single-label tables have at most one.
        split: a name from SPLITS, UNLABELLED, or "" if the table does not name a split.
        group: the group; "" if the table does not name one.
    """

    place: str
    path: str
    names: tuple[str, ...]
    split: str
    group: str

    @property
    def text(self) -> str:
        """The labels, joined by SEPARATOR."""
        return SEPARATOR.join(self.names)


def read_labels(
    table: Path, group: str | None = None, task: Task = "auto"
) -> tuple[list[Label], Columns]:
    """Read the labels of a table.

    Args:
        group: the value of --group, which may be the name of a column.
        task: the value of --task.

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
            labels.append(_make_label(record, columns, task))
        except ValueError as error:
            raise DataError(f"--data {table}, {record.place}: {error}") from error
    if task != "single-label":
        _refuse_commas(table, labels)
    return labels, columns


def _refuse_commas(table: Path, labels: Sequence[Label]) -> None:
    """Check that no label is a list of other labels of the table.

    Raises:
        DataError: there is such a label, such as "cat, dog" where cat and dog are labels, too.
    """
    known = {name for label in labels for name in label.names}
    for label in labels:
        for name in label.names:
            if "," in name and {part.strip() for part in name.split(",")} <= known:
                raise DataError(
                    f"--data {table}, {label.place}: `{name}` seems to be several labels: separate "
                    "them by | and train with --task multi-label, or use --task single-label if it "
                    "is the name of one class"
                )


def _make_label(record: Record, columns: Columns, task: Task) -> Label:
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
    names = tuple(escape(name) for name in _split_labels(columns.labels_of(record), task))
    for name in names:
        if len(name) > MAX_LABEL:
            raise ValueError(f"the class is longer than {MAX_LABEL} characters: `{name[:20]}...`")
    if "\n" in "".join((path, split, group, *names)):
        raise ValueError("a cell has a line break: perhaps a quote is opened and not closed")
    return Label(record.place, path, names, SPLIT_WORDS.get(key, ""), group)


def _split_labels(texts: Sequence[str], task: Task) -> list[str]:
    """Return the labels of a picture, sorted; the only one as it is, unless they are multi-label.

    Raises:
        ValueError: the picture has several labels, or seems to, and this is not allowed.
    """
    parts = {part.strip() for text in texts for part in re.split(_SEPARATORS, text)} - {""}
    if task == "multi-label":
        return sorted(parts)
    found = f"several labels ({format_names([f'`{name}`' for name in sorted(parts)])})"
    if len(texts) > 1:
        raise ValueError(
            f"the picture has {found}: to train a model that gives a picture several labels, add "
            "--task multi-label; otherwise give each picture one label"
        )
    if task == "auto" and len(parts) > 1:
        raise ValueError(
            f"the picture seems to have {found}: add --task multi-label, or --task single-label if "
            f"`{escape(texts[0])}` is the name of one class"
        )
    return list(texts)
