"""Finds the tables of labels in a folder whose pictures are not sorted into class folders."""

from __future__ import annotations

from pathlib import Path

from trainers.dataset.folders.filenames import (
    is_hidden,
    is_split_name,
    is_system_folder,
    split_of,
)
from trainers.dataset.tables.records import is_table


def find_tables(folder: Path) -> dict[Path, str]:
    """Find the table of a folder, or the table of each of its split folders.

    Exports of Roboflow have a table in each split folder: train/_classes.csv, valid/_classes.csv.
    If the folder contains only one folder, as many archives do, the inner folder is searched.

    Returns:
        For each table the split of its pictures; "" if the table itself names the splits. Empty if
        there is no table. If several have "", it is not clear which of them has the labels.
    """
    while len(inside := _list(folder)) == 1 and inside[0].is_dir():
        folder = inside[0]
    if tables := _find_split_tables(inside):
        return tables
    return dict.fromkeys((path for path in inside if is_table(path)), "")


def _find_split_tables(inside: list[Path]) -> dict[Path, str]:
    """Find tables of one name in all split folders that hold tables; empty if there are none."""
    splits = [path for path in inside if path.is_dir() and is_split_name(path.name)]
    tables = {
        table: split_of(split.name) for split in splits for table in _list(split) if is_table(table)
    }
    return tables if len({table.name for table in tables}) == 1 else {}


def _list(folder: Path) -> list[Path]:
    """List what is in a folder, without hidden files and those of operating systems; sorted."""
    paths = sorted(folder.iterdir())
    return [path for path in paths if not is_hidden(path.name) and not is_system_folder(path.name)]
