"""Reads the records of a table: the lines of a CSV file, or the objects of a JSON file."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from trainers.dataset.folders.errors import DataError
from trainers.dataset.tables.json_exports import flatten

DELIMITERS: Final = ",;\t|"
"""Excel writes semicolons where the comma is the decimal separator."""
CSV_SUFFIXES: Final = (".csv", ".tsv")
JSON_SUFFIXES: Final = (".json", ".jsonl", ".ndjson")


class Record(NamedTuple):
    """One record of a table.

    Attributes:
        place: where it is in the table, for messages, such as "line 12".
        cells: the text of each cell, by the name of its column.
    """

    place: str
    cells: Mapping[str, str]


def is_table(path: Path) -> bool:
    """Whether a file is a table of labels, judging by its suffix."""
    return path.suffix.lower() in (*CSV_SUFFIXES, *JSON_SUFFIXES) and not path.is_dir()


def read_records(path: Path) -> list[Record]:
    """Read a table.

    Raises:
        DataError: the file is not such a table, is damaged, or has no records.
        OSError: the file cannot be opened.
    """
    text = _decode(path)
    is_json = path.suffix.lower() in JSON_SUFFIXES
    records = list(_read_json(path, text) if is_json else _read_csv(path, text))
    if not records:
        raise DataError(f"--data {path} has no labels: it is empty, or has only a first line")
    return records


def _decode(path: Path) -> str:
    content = path.read_bytes()
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"--data {path} is not in UTF-8 (byte {error.start}): save it in UTF-8; Excel calls "
            "this format `CSV UTF-8`"
        ) from error


def _read_csv(path: Path, text: str) -> Iterator[Record]:
    lines = text.splitlines()
    first = lines[0] if lines else ""
    delimiter = max(DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, restkey="", restval="")
    try:
        for row in reader:
            place = f"line {reader.line_num}"
            if extra := row.pop("", None):
                count = len(reader.fieldnames or ())
                raise DataError(
                    f"--data {path}, {place}: {count + len(extra)} cells, but the first line names "
                    f"{count} columns; put quotes around a cell that contains `{delimiter}`"
                )
            yield Record(place, {name.strip(): cell.strip() for name, cell in row.items()})
    except csv.Error as error:
        raise DataError(f"--data {path}, line {reader.line_num}: {error}") from error


def _read_json(path: Path, text: str) -> Iterator[Record]:
    """Read an object per line, or one value that holds all objects."""
    try:
        values: Any = json.loads(text)
    except json.JSONDecodeError as error:
        if path.suffix.lower() == ".json":
            raise DataError(f"--data {path}, line {error.lineno}: {error.msg}") from error
        values = list(_read_json_lines(path, text))
    try:
        for number, (cells, problem) in enumerate(flatten(values), 1):
            place = f"record {number}"
            if problem:
                raise DataError(f"--data {path}, {place}: {problem}")
            yield Record(place, cells)
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"--data {path} is none of the JSON files that Graft reads: objects with `path` and "
            "`label`, one per line or in a list; COCO; or an export of Label Studio"
        ) from error


def _read_json_lines(path: Path, text: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"--data {path}, line {number}: {error.msg}") from error
