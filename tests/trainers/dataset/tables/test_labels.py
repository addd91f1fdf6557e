from __future__ import annotations

from pathlib import Path

import pytest

from trainers.dataset.folders.errors import DataError
from trainers.dataset.tables.labels import Label, is_used, read_labels


def write(folder: Path, *lines: str) -> Path:
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "labels.csv"


def test_each_picture_has_one_label(tmp_path: Path) -> None:
    table = write(
        tmp_path,
        "path,label,split,group",
        "./a.jpg,cat,Training,p1",
        "sub\\b.jpg,dog,VAL,",
        "a.jpg,cat,train,p1",
        "c.jpg,,,",
        "d.jpg,cat,unlabeled,",
    )
    labels, note = read_labels(table)
    assert labels == [
        Label("line 2", "a.jpg", "cat", "train", "p1"),
        Label("line 3", "sub/b.jpg", "dog", "validation", ""),
        Label("line 5", "c.jpg", "", "", ""),
        Label("line 6", "d.jpg", "cat", "unlabelled", ""),
    ]
    assert [is_used(label) for label in labels] == [True, True, False, False]
    assert note.endswith("path = `path`, label = `label`, split = `split`, group = `group`")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg,dog,", r"line 3: the class of a\.jpg is `dog`, but in line 2 it is `cat`"),
        (",dog,", "line 3: the cell `path` is empty"),
        ("b.jpg,dog,tomorrow", "line 3: the split is `tomorrow`, but must be train, validation"),
    ],
)
def test_a_line_that_cannot_be_used_is_an_error(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labels(write(tmp_path, "path,label,split", "a.jpg,cat,", line))
