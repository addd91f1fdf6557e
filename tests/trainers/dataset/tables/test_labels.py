from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from trainers.dataset.folders.errors import DataError
from trainers.dataset.tables.labels import Label, read_labels
from trainers.dataset.tables.uris import is_uri


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
        Label("line 2", "a.jpg", ("cat",), "train", "p1"),
        Label("line 3", "sub/b.jpg", ("dog",), "validation", ""),
        Label("line 4", "c.jpg", (), "", ""),
        Label("line 5", "d.jpg", ("cat",), "unlabelled", ""),
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
    assert labels[1] == Label("line 3", "scans/0002.png", ("fracture",), "test", "23")
    assert columns.unused == ()
    labels, _ = read_labels(write(tmp_path, *elsewhere.splitlines()))
    assert [is_uri(label.path) for label in labels] == [True, True]


def test_a_cell_or_columns_of_0_and_1_hold_several_labels(tmp_path: Path) -> None:
    cells = write(tmp_path, "path,label", "a.jpg,dog | cat;dog", "b.jpg,", "c.jpg,cat")
    labels, _ = read_labels(cells, task="multi-label")
    assert [label.names for label in labels] == [("cat", "dog"), (), ("cat",)]
    one_hot = write(tmp_path, "path,cat,dog", "a.jpg,1,1", "b.jpg,0,0")
    labels, _ = read_labels(one_hot, task="multi-label")
    assert [label.names for label in labels] == [("cat", "dog"), ()]
    with pytest.raises(DataError, match=r"line 2: the picture has several labels \(`cat`, `dog`\)"):
        read_labels(one_hot, task="single-label")


def test_lists_of_json_hold_several_labels(tmp_path: Path) -> None:
    table = tmp_path / "labels.jsonl"
    rows = [{"path": "a", "label": ["dog", "cat"]}, {"path": "b", "label": []}]
    table.write_text("\n".join(map(json.dumps, rows)))
    labels, _ = read_labels(table, task="multi-label")
    assert [label.names for label in labels] == [("cat", "dog"), ()]
    with pytest.raises(DataError, match=r"record 1: .* add --task multi-label"):
        read_labels(table)


def test_only_the_option_makes_a_cell_with_a_separator_several_labels(tmp_path: Path) -> None:
    table = write(tmp_path, "path,label", "a.jpg,cat", "b.jpg,cat|dgo")
    message = (
        r"line 3: the picture seems to have several labels .*--task multi-label, or --task sin"
    )
    with pytest.raises(DataError, match=message):
        read_labels(table)
    labels, _ = read_labels(table, task="single-label")
    assert labels[1].names == ("cat|dgo",)


def test_commas_between_labels_are_not_part_of_a_name(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text('path;label\n1.jpg;cat\n2.jpg;dog\n3.jpg;"cat, dog"\n4.jpg;"cat, old"\n')
    message = r"line 4: `cat, dog` seems to be several labels: separate them by \| and train with"
    for task in ("auto", "multi-label"):
        with pytest.raises(DataError, match=message):
            read_labels(table, task=task)
    labels, _ = read_labels(table, task="single-label")
    assert [label.text for label in labels] == ["cat", "dog", "cat, dog", "cat, old"]
