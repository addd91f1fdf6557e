from __future__ import annotations

import csv
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.bundle.reading import Bundle
from service.engine.classification import Classification, Verdict
from service.engine.predictor import Predictor
from service.errors import UnreadableFile, UsageError
from service.scoring.files import ScoredFile
from service.scoring.tables import csv_table, write_json_line, write_line
from service.settings import Settings

CLASSES = ("red", "green", "error")
NUMBERS = Classification(
    np.array([0.125, 0.2500001, 0.6249999], np.float32), np.ones(3, np.float32), novelty=0.96
)
GOOD = ScoredFile("a, b.jpg", NUMBERS)
TABLE = '"path","label","score","error"\n"old.jpg","red",1.0,""\n'
BAD = ScoredFile("c.jpg", error=UnreadableFile("the file cannot be read: it is gone"))


def judge(classification: Classification) -> Verdict:
    return Verdict([("error", float(classification.probabilities.max()))])


def test_a_line_has_path_label_and_score(capsys: pytest.CaptureFixture[str]) -> None:
    write_line(judge, GOOD)
    assert capsys.readouterr().out == "a, b.jpg\terror\t0.6250\n"


def test_the_line_of_an_unknown_picture_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    write_line(lambda classification: replace(judge(classification), novelty=0.96), GOOD)
    line = "a, b.jpg\terror\t0.6250\tunlike the training pictures\n"
    assert capsys.readouterr().out == line


def test_the_line_of_a_bad_picture_has_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    write_line(judge, BAD)
    reason = "unreadable_file: the file cannot be read: it is gone"
    assert capsys.readouterr().out == f"c.jpg\t\t\t{reason}\n"


def test_a_path_cannot_break_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_line(judge, ScoredFile("a\tb\nc.jpg", GOOD.classification))
    assert capsys.readouterr().out == "a b c.jpg\terror\t0.6250\n"


def test_lines_of_json_are_the_answers_of_predict_batch(
    tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = Predictor(tiny_bundle, threads=1)
    settings = Settings(top_k=2)
    write_json_line(predictor, settings, GOOD)
    write_json_line(predictor, settings, BAD)
    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert good == {
        "path": "a, b.jpg",
        "label": "blue",
        "score": float(np.float32(0.6249999)),
        "known": False,
        "novelty": 0.96,
        "top": [
            {"label": "blue", "score": float(np.float32(0.6249999))},
            {"label": "green", "score": float(np.float32(0.2500001))},
        ],
    }
    message = "the file cannot be read: it is gone"
    assert bad == {"path": "c.jpg", "error": {"code": "unreadable_file", "message": message}}


def test_a_table_has_every_probability_and_unique_columns(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    verdict = Verdict([("error", 0.6249999)], ["error", "green"], novelty=0.95)
    with csv_table(path, CLASSES, lambda _: verdict) as write:
        write(GOOD)
        write(BAD)
        assert not path.exists()
    with path.open(newline="") as file:
        header, good, bad = csv.reader(file)
    assert header == [
        *("path", "label", "score"),
        *("probability_red", "probability_green", "probability_error"),
        *("known", "novelty", "set", "error"),
    ]
    assert good == [
        *("a, b.jpg", "error", "0.6249999", "0.125", "0.2500001", "0.6249999"),
        *("true", "0.95", '["error", "green"]', ""),
    ]
    assert bad == ["c.jpg", *[""] * 8, "unreadable_file: the file cannot be read: it is gone"]
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("name", ["a\rb.jpg", "a\r\nb.jpg", 'a"b,.jpg', "a;b.jpg", "=1+1.jpg"])
def test_a_path_cannot_break_a_table(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out.csv"
    with csv_table(path, CLASSES, judge) as write:
        write(ScoredFile(name, GOOD.classification))
    with path.open(newline="") as file:
        _, row = csv.reader(file)
    assert row[0] == name


def test_a_link_is_kept_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    target, link, pipe = (tmp_path / name for name in ("whole.csv", "link.csv", "pipe"))
    link.symlink_to(target)
    os.mkfifo(pipe)
    contents: list[str] = []
    reader = threading.Thread(target=lambda: contents.append(pipe.read_text()))
    reader.start()
    for path in (link, pipe):
        with csv_table(path, CLASSES, judge) as write:
            write(GOOD)
    reader.join(20)
    assert link.is_symlink()
    assert pipe.is_fifo()
    assert target.read_text() == contents[0]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_stopped_run_keeps_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text(TABLE)

    def stop() -> None:
        with csv_table(path, CLASSES, judge) as write:
            write(GOOD)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]
    assert path.read_text() == TABLE


def test_paths_that_are_not_text_are_written_escaped(tmp_path: Path) -> None:
    with csv_table(tmp_path / "out.csv", CLASSES, judge) as write:
        write(ScoredFile("\udcff.jpg", GOOD.classification))
    assert '\n"\\udcff.jpg",' in (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize(
    ("name", "reason"), [("gone/out.csv", "No such file"), (".", "Is a directory")]
)
def test_a_table_that_cannot_be_written_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    refused = pytest.raises(UsageError, match=rf"cannot write .*: {reason}.*; give --csv the path")
    with refused, csv_table(tmp_path / name, CLASSES, judge):
        pytest.fail("nothing may begin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0", b"{}", b"path,label\n"])
def test_only_a_table_is_replaced(tmp_path: Path, content: bytes) -> None:
    """The shell expands `--csv *.jpg`, so the first picture would be overwritten."""
    path = tmp_path / "leaf.jpg"
    path.write_bytes(content)
    refused = pytest.raises(UsageError, match=r"leaf\.jpg would be overwritten, but it is not a ")
    with refused, csv_table(path, CLASSES, judge):
        pass
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", TABLE])
def test_a_table_and_an_empty_file_are_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "out.csv"
    path.write_text(content)
    with csv_table(path, CLASSES, judge) as write:
        write(GOOD)
    assert "a, b.jpg" in path.read_text()
    assert "old.jpg" not in path.read_text()


def test_several_labels_are_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = Verdict([("red", 0.7)], labels=[("red", 0.7), ("green", 0.6)])
    write_line(lambda _: verdict, GOOD)
    write_line(lambda _: replace(verdict, labels=[]), GOOD)
    assert capsys.readouterr().out.splitlines() == [
        "a, b.jpg\tgreen|red\t0.6000|0.7000",
        "a, b.jpg\tnone of the labels\t",
    ]
    with csv_table(tmp_path / "out.csv", CLASSES, lambda _: verdict, is_multi_label=True) as write:
        write(GOOD)
        write(BAD)
    with (tmp_path / "out.csv").open(newline="") as file:
        good, bad = csv.DictReader(file)
    assert (good["label"], good["labels"], good["error"]) == ("red", "green|red", "")
    assert (bad["labels"], bad["error"][:15]) == ("", "unreadable_file")
