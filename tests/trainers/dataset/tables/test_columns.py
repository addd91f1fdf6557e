from __future__ import annotations

from pathlib import Path

import pytest

from trainers.dataset.folders.errors import DataError
from trainers.dataset.tables.columns import Columns, choose_columns
from trainers.dataset.tables.records import Record


def choose(group: str | None = None, **cells: str) -> Columns:
    return choose_columns(Path("labels.csv"), [Record("line 2", cells)], group)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"path": "a", "label": "b"}, Columns("path", "label", "", "")),
        (
            {"File Name": "a", "CLASS": "b", "Split": "c"},
            Columns("File Name", "CLASS", "Split", ""),
        ),
        (
            {"label": "x", "class": "y", "image_path": "z", "patient-ID": "1", "source": "web"},
            Columns("image_path", "label", "", "patient-ID", unused=("class", "source")),
        ),
    ],
)
def test_columns_are_found_by_the_names_that_people_use(
    cells: dict[str, str], expected: Columns
) -> None:
    assert choose(**cells) == expected


def test_group_may_name_a_column_or_a_rule_for_paths() -> None:
    cells = {"path": "a", "label": "b", "patient": "1", "tree": "2"}
    assert choose(**cells).group == "patient"
    assert choose("Tree", **cells).group == "tree"
    assert choose(r"clip\d+", **cells).group == ""


def test_columns_of_0_and_1_are_classes() -> None:
    columns = choose(filename="a.jpg", cat="0", dog="1")
    assert columns.one_hot == ("cat", "dog")
    assert columns.labels_of(Record("line 2", {"cat": "0", "dog": "1.0"})) == ["dog"]
    assert columns.labels_of(Record("line 2", {"cat": "0", "dog": "0"})) == []
    assert columns.labels_of(Record("line 2", {"cat": "1", "dog": "1"})) == ["cat", "dog"]
    assert columns.labels_of(Record("record 3", {"filename": "b.jpg"})) == []
    assert str(columns) == "path = `filename`, one for each class (cat, dog)"


def test_columns_of_true_and_false_are_classes() -> None:
    columns = choose(filename="a.jpg", cat="True", dog="False")
    assert columns.labels_of(Record("line 2", {"cat": "True", "dog": "False"})) == ["cat"]


def test_columns_that_are_not_used_are_named() -> None:
    columns = choose(path="a.jpg", label="cat", tree="1", age="7")
    assert str(columns) == "path = `path`, label = `label`; not used: tree, age"


def test_columns_of_0_and_1_beside_others_are_not_classes() -> None:
    with pytest.raises(DataError, match="no column with the classes"):
        choose(path="a.jpg", diagnosis="healthy", male="0", left="1")


def test_columns_come_from_all_records() -> None:
    records = [Record("record 1", {"path": "a"}), Record("record 2", {"path": "b", "label": "c"})]
    assert choose_columns(Path("labels.json"), records, None).label == "label"


def test_an_empty_column_of_groups_is_an_error() -> None:
    with pytest.raises(DataError, match=r"--group: the column `tree` of labels\.csv is empty"):
        choose("tree", path="a", label="b", tree="")


def test_a_table_without_paths_or_classes_is_an_error() -> None:
    with pytest.raises(DataError, match=r"no column with the paths.*\(its columns: a\.jpg, cat\)"):
        choose(**{"a.jpg": "b.jpg", "cat": "dog"})
    with pytest.raises(DataError, match=r"no column with the classes.*: name it label"):
        choose(path="a.jpg", colour="red", size="3 cm")
    assert choose(path="a.jpg", colour="red").label == "colour"  # the only other column
