from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from trainers.dataset.folders.errors import DataError
from trainers.dataset.tables.labels import read_labels
from trainers.dataset.tables.parquet import read_rows


def write(path: Path, /, **columns: Any) -> Path:
    arrow = pytest.importorskip("pyarrow")
    arrow.parquet = pytest.importorskip("pyarrow.parquet")
    arrow.parquet.write_table(arrow.table(columns), path)
    return path


def test_rows_have_the_text_of_each_cell(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = write(
        tmp_path / "a.parquet",
        path=["1.jpg", "2.jpg"],
        label=arrow.array(["cat", None]).dictionary_encode(),
        patient=[7, None],
        box=[[1, 2], [3]],
        content=[b"x", b"y"],
        __index_level_0__=[0, 1],
    )
    first = {"path": "1.jpg", "label": "cat", "patient": "7"}
    assert list(read_rows(table)) == [first, {"path": "2.jpg", "label": "", "patient": ""}]


def test_columns_have_the_same_names_and_rules_as_in_csv(tmp_path: Path) -> None:
    table = write(
        tmp_path / "a.PARQUET",
        file_name=["1.jpg", "2.jpg"],
        cat=[True, False],
        dog=[False, True],
        split=["train", "val"],
    )
    labels, _ = read_labels(table)
    found = [(label.place, label.path, label.text, label.split) for label in labels]
    assert found == [("row 1", "1.jpg", "cat", "train"), ("row 2", "2.jpg", "dog", "validation")]


def test_a_table_of_pictures_themselves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column of text or numbers \(its columns: image\)"):
        list(read_rows(write(tmp_path / "a.parquet", image=[{"bytes": b"x"}])))


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", path=["1.jpg"], label=["cat"])
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"a\.parquet is not a readable Parquet file: \w"):
        list(read_rows(path))


def test_without_pyarrow_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install '\.\[parquet\]'\), or save the table as CSV"):
        list(read_rows(tmp_path / "a.parquet"))
