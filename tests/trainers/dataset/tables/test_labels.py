from __future__ import annotations

import re
from pathlib import Path

import pytest

from trainers.dataset.folders.errors import DataError
from trainers.dataset.tables.downloading import is_uri
from trainers.dataset.tables.labels import Label, read_labels


def write(folder: Path, *lines: str) -> Path:
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "labels.csv"


def test_each_line_has_a_label(tmp_path: Path) -> None:
    table = write(
        tmp_path,
        "path,label,split,group",
        "./a.jpg,cat,Training,p1",
        "sub\\b.jpg,dog,VAL,",
        "c.jpg,,,",
        "d.jpg,cat,unlabeled,",
    )
    labels, columns = read_labels(table)
    assert labels == [
        Label("line 2", "a.jpg", "cat", "train", "p1"),
        Label("line 3", "sub/b.jpg", "dog", "validation", ""),
        Label("line 4", "c.jpg", "", "", ""),
        Label("line 5", "d.jpg", "cat", "unlabelled", ""),
    ]
    assert str(columns).endswith("path = `path`, label = `label`, split = `split`, group = `group`")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",dog,", "line 3: the cell `path` is empty"),
        ("b.jpg,dog,tomorrow", "line 3: the split is `tomorrow`, but must be train, validation"),
        (f"b.jpg,{'d' * 201},", "line 3: the class is longer than 200 characters"),
        ('"b.jpg,dog,\nc"', "line 4: a cell has a line break: perhaps a quote is opened"),
    ],
)
def test_a_line_that_cannot_be_used_is_an_error(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labels(write(tmp_path, "path,label,split", "a.jpg,cat,", line))


def test_the_tables_in_the_docs_are_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[4] / "docs/training.md").read_text(encoding="utf-8")
    here, elsewhere = re.findall(r"```csv\n(.*?)```", text, re.DOTALL)
    labels, columns = read_labels(write(tmp_path, *here.splitlines()))
    assert labels[1] == Label("line 3", "scans/0002.png", "fracture", "test", "23")
    assert columns.unused == ()
    labels, _ = read_labels(write(tmp_path, *elsewhere.splitlines()))
    assert [is_uri(label.path) for label in labels] == [True, True]
