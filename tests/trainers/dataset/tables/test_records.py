from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainers.dataset.folders.errors import DataError
from trainers.dataset.tables.records import is_table, read_records

ROWS = [("line 2", {"path": "a.jpg", "label": "cat"}), ("line 3", {"path": "b.jpg", "label": "Öl"})]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.csv", "path,label\na.jpg,cat\nb.jpg,Öl\n".encode()),
        ("excel.csv", "\ufeffpath;label\r\na.jpg;cat\r\nb.jpg;Öl\r\n".encode()),
        ("unicode.csv", "path\tlabel\r\na.jpg\tcat\r\nb.jpg\tÖl\r\n".encode("utf-16")),
        ("tabs.tsv", "path\t label \na.jpg\t cat\nb.jpg\tÖl".encode()),
        ("named.csv", "sep=;\r\npath;label\r\na.jpg;cat\r\nb.jpg;Öl\r\n".encode()),
        ("old_mac.csv", "path,label\ra.jpg,cat\rb.jpg,Öl\r".encode()),
        ("blanks.csv", "path,label,,\na.jpg,cat,,\nb.jpg,Öl,,\n,,,\n".encode()),
        ("wide.csv", "path,label\na.jpg,cat,\nb.jpg,Öl,,\n,\n".encode()),
        ("pandas.csv", ",path,label\n0,a.jpg,cat\n1,b.jpg,Öl\n".encode()),
        ("quoted.csv", 'path,label\n"a.jpg","cat"\n"b.jpg","Öl"\n'.encode()),
    ],
)
def test_csv_files_of_all_programs_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert is_table(tmp_path / name)
    records = [tuple(record) for record in read_records(tmp_path / name)]
    if name == "named.csv":  # its first line names the delimiter
        records = [(f"line {int(place[5:]) - 1}", cells) for place, cells in records]
    assert records == ROWS


def test_json_is_read_as_lines_and_as_a_list(tmp_path: Path) -> None:
    objects = [cells for _, cells in ROWS]
    lines, whole = tmp_path / "labels.jsonl", tmp_path / "labels.json"
    lines.write_text("\n".join(map(json.dumps, objects)) + "\n")
    whole.write_text(json.dumps(objects))
    for path in (lines, whole):
        assert [record.cells for record in read_records(path)] == objects


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "has no labels"),
        ("a.csv", b"path,label\n", "has no labels"),
        ("a.csv", "path,label\nb.jpg,Öl".encode("latin-1"), r"not in UTF-8 \(byte 17\).*CSV UTF-8"),
        ("a.csv", b"path,label\na.jpg,cat\nb, c.jpg,dog\n", r"a\.csv, line 3: 3 cells.*quotes"),
        ("a.csv", b"path,label,label\na.jpg,cat,dog\n", "several columns called label"),
        ("a.csv", b'path,label\na.jpg,"cat\nb.jpg,dog\n', "a quote is opened and not closed"),
        ("a.csv", "path,label\na.jpg,cat".encode("utf-16-le"), "is not a text file"),
        ("a.json", b'[{"path": "a.jpg",\n}]', r"a\.json, line 2: "),
        ("a.json", b'{"a.jpg": "cat", "a.jpg": "dog"}', r"the name `a\.jpg` is there twice"),
        ("a.json", b"[" * 100_000, r"a\.json, line 1 or later"),
        ("a.json", b'[{"path": ' + b"9" * 5000 + b"}]", r"a\.json, line 1 or later"),
        ("a.json", b'{"path": "a"}\n{"path": "b"}', "line 2: Extra data; one object per line is"),
        ("a.jsonl", b'{"path": "a.jpg"}\n{"path": }', r"a\.jsonl, line 2: "),
        ("a.json", b"[1, 2]", "none of the JSON files that Graft reads"),
        ("a.json", b'[{"data": {}}]', "record 1: the task has no picture"),
        ("a.json", b'{"a.jpg": {"box": 1}}', "none of the JSON files that Graft reads"),
        ("a.json", b"null", "none of the JSON files that Graft reads"),
    ],
)
def test_a_damaged_table_is_an_error_with_the_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_records(tmp_path / name)


def test_folders_and_archives_are_not_tables(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert not is_table(tmp_path / "folder.csv")
    assert not is_table(Path("pictures.zip"))
