"""Reads the split.csv of a bundle: the pictures for training, validation and the test."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from service.bundle.reading import Bundle

FILE_NAME = "split.csv"


@dataclass(frozen=True)
class SplitRow:
    """One row of a bundle's split.csv.

    Attributes:
        path: path of the picture, relative to the data folder.
        sha256: hash of the file; empty in older bundles, which do not record it.
        label: the class.
        split: train, validation or test.
    """

    path: str
    sha256: str
    label: str
    split: str


def read_split(bundle: Bundle) -> list[SplitRow]:
    """Read the split.csv of a bundle."""
    return read_rows(bundle.path / FILE_NAME)


def read_rows(path: Path) -> list[SplitRow]:
    """Read a file like the split.csv of a bundle, also as Excel saves it (BOM, semicolons).

    Raises:
        OSError: the file cannot be opened.
        KeyError: a column is missing.
        ValueError: a row is cut short.
        UnicodeDecodeError, csv.Error: the file is not a CSV file in UTF-8.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        delimiter = ";" if "path;" in file.readline() else ","
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter)
        rows = []
        for row in reader:
            if None in row.values():
                raise ValueError(f"line {reader.line_num} is cut short: copy the file again")
            rows.append(SplitRow(row["path"], row.get("sha256") or "", row["class"], row["split"]))
        return rows
