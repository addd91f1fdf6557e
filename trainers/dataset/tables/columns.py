"""Finds the columns of a table with the path, class, split and group of each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import format_names, normalize
from trainers.dataset.tables.json_exports import LIST_SEPARATOR
from trainers.dataset.tables.records import Record

NAMES: Final = {
    "path": "path file filename file_name filepath file_path image image_path image_name "
    "image_file img picture photo uri url image_id id",
    "label": "label labels class class_name classname category category_name target tag choice",
    "split": "split set subset partition",
    "group": "group groups group_id patient patient_id",
}
"""The names that each column may have. The first one that is there is used. Upper and lower case,
spaces, _ and - do not matter."""
ROBOFLOW: Final = "_classes.csv"
"""The tables that Roboflow exports: the column `filename`, and one column of 0 and 1 per class."""
_ZEROS: Final = ("0", "0.0", "False")
_ONES: Final = ("1", "1.0", "True")


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are used.

    Attributes:
        path: the paths of the pictures.
        label: the classes; "" if each of the columns in `one_hot` stands for a class.
        split, group: "" if there is no such column.
        one_hot: columns that are 1 for the pictures of their class, and 0 for all others.
        unused: all other columns.
    """

    path: str
    label: str
    split: str
    group: str
    one_hot: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def labels_of(self, record: Record) -> list[str]:
        """Return the texts of the labels of a record: one for a cell, several for a list."""
        if self.label:
            return [name for name in record.cells.get(self.label, "").split(LIST_SEPARATOR) if name]
        return [name for name in self.one_hot if record.cells.get(name) in _ONES]

    def __str__(self) -> str:
        names = {"path": self.path, "label": self.label, "split": self.split, "group": self.group}
        used = [f"{role} = `{name}`" for role, name in names.items() if name]
        if self.one_hot:
            used.append(f"one for each class ({format_names(self.one_hot, 3)})")
        unused = f"; not used: {format_names(self.unused)}" if self.unused else ""
        return ", ".join(used) + unused


def choose_columns(table: Path, records: Sequence[Record], group: str | None) -> Columns:
    """Choose the columns of a table by their names.

    Args:
        table: the path of the table, for messages.
        group: the value of --group. If it is the name of a column, this column has the groups. Any
            other value is a rule for paths, so no column has them.

    Raises:
        DataError: there is no column with the paths or with the classes.
    """
    names = list(dict.fromkeys(name for record in records for name in record.cells))
    if table.name == ROBOFLOW:
        return _choose_roboflow_columns(table, records, names)
    found = {role: _find(names, known.split()) for role, known in NAMES.items()}
    if group:
        found["group"] = _find(names, [group])
        if found["group"] and not any(record.cells.get(found["group"]) for record in records):
            raise DataError(f"--group: the column `{found['group']}` of {table} is empty")
    if not found["path"]:
        raise DataError(
            f"--data {table} has no column with the paths of the pictures (its columns: "
            f"{format_names(names)}): the first line must name the columns, e.g. path,label"
        )
    others = [name for name in names if name not in found.values()]
    one_hot = tuple(others) if all(_is_binary(records, name) for name in others) else ()
    if not found["label"] and len(others) == 1:
        found["label"] = others.pop()  # whatever it is called
    if not found["label"] and len(one_hot) < 2:
        raise DataError(
            f"--data {table} has no column with the classes (its columns: {format_names(names)}): "
            "name it label"
        )
    roles = (found["path"], found["label"], found["split"], found["group"])
    return Columns(*roles, unused=tuple(others)) if found["label"] else Columns(*roles, one_hot)


def _choose_roboflow_columns(
    table: Path, records: Sequence[Record], names: Sequence[str]
) -> Columns:
    """Choose the columns of a table of Roboflow; its classes may be called `set` or `tag`."""
    classes = tuple(name for name in names if name != "filename")
    if others := [name for name in classes if not _is_binary(records, name)]:
        raise DataError(
            f"--data {table}: the column `{others[0]}` must have 0 or 1 in every line, because "
            f"each column of {ROBOFLOW} but `filename` stands for a class"
        )
    return Columns("filename", "", "", "", classes)


def _find(names: Sequence[str], known: Sequence[str]) -> str:
    spellings = {normalize(name): name for name in reversed(names)}
    return next((spellings[key] for name in known if (key := normalize(name)) in spellings), "")


def _is_binary(records: Sequence[Record], name: str) -> bool:
    return {record.cells.get(name, "") for record in records} <= {*_ZEROS, *_ONES}
