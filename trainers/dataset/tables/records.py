"""Reads the records of a table: lines of CSV, objects of JSON, or rows of Parquet."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import escape, format_names
from trainers.dataset.tables import parquet
from trainers.dataset.tables.json_exports import flatten

DELIMITERS: Final = ",;\t|"
"""Excel writes semicolons where the comma is the decimal separator."""
CSV_SUFFIXES: Final = (".csv", ".tsv")
JSON_SUFFIXES: Final = (".json", ".jsonl", ".ndjson")
SUFFIXES: Final = (*CSV_SUFFIXES, *JSON_SUFFIXES, *parquet.SUFFIXES)


class Record(NamedTuple):
    """One record of a table.

    Attributes:
        place: where it is in the table, for messages, such as "line 12".
        cells: the text of each cell, by the name of its column.
    """

    place: str
    cells: Mapping[str, str]


def is_table(path: Path) -> bool:
    """Whether a path names a table of labels, judging by its suffix; the file may not exist."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def read_records(path: Path) -> list[Record]:
    """Read a table.

    Raises:
        DataError: the file is not such a table, is damaged, has no records, or is a Parquet file
            and pyarrow is not installed.
        OSError: the file cannot be opened.
    """
    suffix = path.suffix.lower()
    read = _read_json if suffix in JSON_SUFFIXES else _read_csv
    records = list(_read_parquet(path) if suffix in parquet.SUFFIXES else read(path, _decode(path)))
    if not records:
        raise DataError(f"--data {path} has no labels: it is empty, or has only a first line")
    return records


def _read_parquet(path: Path) -> Iterator[Record]:
    for number, cells in enumerate(parquet.read_rows(path), 1):
        yield Record(f"row {number}", {escape(name): text for name, text in cells.items()})


def _decode(path: Path) -> str:
    content = path.read_bytes()
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"--data {path} is not in UTF-8 (byte {error.start}): save it in UTF-8; Excel calls "
            "this format `CSV UTF-8`"
        ) from error
    if "\0" in text:
        raise DataError(f"--data {path} is not a text file: save the table as CSV in UTF-8")
    return text


def _read_csv(path: Path, text: str) -> Iterator[Record]:
    """Read a CSV file whose first line that is not empty names the columns."""
    body = text.lstrip("\r\n")
    skipped = text[: len(text) - len(body)].count("\n")
    if named := re.match(r"sep=(.)\r?\n", body):  # Excel's way to name the delimiter
        skipped, body = skipped + 1, body[named.end() :]
    first = body.splitlines()[0] if body else ""
    delimiter = max(DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
    delimiter = named[1] if named else delimiter
    lines = io.StringIO(body, newline=None)
    reader = csv.DictReader(lines, delimiter=delimiter, restval="", strict=True)
    line = skipped
    try:
        names = [escape(name.strip()) for name in reader.fieldnames or ()]
        if twice := sorted({name for name in names if name and names.count(name) > 1}):
            raise DataError(f"--data {path} has several columns called {format_names(twice)}")
        reader.fieldnames = names
        for row in reader:
            line = reader.line_num + skipped
            if any(extra := row.pop(None, [])):  # Excel may write empty cells at the end
                raise DataError(
                    f"--data {path}, line {line}: {len(names) + len(extra)} cells, but the first "
                    f"line names {len(names)} columns; put quotes around a cell that contains "
                    f"`{delimiter}`"
                )
            cells = {name: cell.strip() for name, cell in row.items()}
            cells.pop("", None)  # a column without a name, such as the index that pandas writes
            if any(cells.values()):
                yield Record(f"line {line}", cells)
    except csv.Error as error:
        raise DataError(
            f"--data {path}, after line {line}: {error}; perhaps a quote is opened and not closed"
        ) from error


def _read_json(path: Path, text: str) -> Iterator[Record]:
    """Read an object per line, or one value that holds all objects."""
    values: Any
    if path.suffix.lower() == ".json":
        values = _parse(path, text)
    else:
        values = [
            _parse(path, line, n) for n, line in enumerate(text.split("\n"), 1) if line.strip()
        ]
    try:
        for number, (cells, problem) in enumerate(flatten(values), 1):
            place = f"record {number}"
            if problem:
                raise DataError(f"--data {path}, {place}: {problem}")
            yield Record(place, {escape(name): text for name, text in cells.items()})
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"--data {path} is none of the JSON files that Graft reads ({error}): objects with "
            "`path` and `label`, one per line or in a list; COCO; or an export of Label Studio"
        ) from error


def _parse(path: Path, text: str, first_line: int = 1) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_as_object)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        hint = "; one object per line is the format .jsonl" if error.msg == "Extra data" else ""
        raise DataError(f"--data {path}, line {line}: {error.msg}{hint}") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, a number that is too long
        raise DataError(f"--data {path}, line {first_line} or later: {error}") from error


def _as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its names and values.

    Raises:
        ValueError: a name is there twice.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name `{escape(twice)}` is there twice")
    return values
