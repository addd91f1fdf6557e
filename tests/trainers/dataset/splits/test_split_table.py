from __future__ import annotations

from pathlib import Path

import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from trainers.dataset.splits.split_table import SplitRow, read_rows, read_split


def test_the_split_is_read_back_also_without_digests(tmp_path: Path, manifest: Manifest) -> None:
    bundle = Bundle(tmp_path, manifest)
    (tmp_path / "split.csv").write_text("path,sha256,class,split\na.jpg,00,red,test\n")
    assert read_split(bundle) == [SplitRow("a.jpg", "00", "red", "test")]
    (tmp_path / "split.csv").write_text("path,class,split\na.jpg,red,test\n")
    assert read_split(bundle) == [SplitRow("a.jpg", "", "red", "test")]


def test_a_table_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("path,sha256,class,split\na.jpg,00,red,test\nb.jpg,0")
    with pytest.raises(ValueError, match="line 3 is cut short: copy the file again"):
        read_rows(tmp_path / "split.csv")


def test_a_table_that_excel_saved_is_read(tmp_path: Path) -> None:
    text = "path;sha256;class;split\r\na,b.jpg;00;red;test\r\n"
    (tmp_path / "split.csv").write_text(text, encoding="utf-8-sig")
    assert read_rows(tmp_path / "split.csv") == [SplitRow("a,b.jpg", "00", "red", "test")]
