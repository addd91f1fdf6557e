from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainers.dataset.dataset import Dataset
from trainers.dataset.inspection import INSPECTION
from trainers.guidance.advice import MAX_RECORDED, Advice
from trainers.guidance.label_errors import Suspects
from trainers.guidance.learning_curve import LearningCurve, Point

COUNT = 150
CURVE = LearningCurve(
    "A sentence.", (Point(50, 0.5, 0.4, 0.6),), Point(70, 0.6, 0.5, 0.7), Point(140, 0.7, 0.6, 0.8)
)


@pytest.fixture
def dataset() -> Dataset:
    return Dataset(
        folder=Path("pets"),
        classes=("cat", "dog"),
        paths=tuple(f"cat/{number}, a.png" for number in range(COUNT)),
        labels=np.zeros(COUNT, np.int64),
        splits=("train", "test") * (COUNT // 2),
        digests=tuple(f"{number:064x}" for number in range(COUNT)),
        inspections=np.zeros(COUNT, INSPECTION),
        duplicate_groups=np.arange(COUNT),
        fingerprint="",
        left_out=(),
    )


def all_suspects() -> Suspects:
    rows = np.arange(COUNT)[::-1]
    scores = np.linspace(0, 0.1, COUNT, dtype=np.float32)
    return Suspects(COUNT, rows, np.ones(COUNT, np.int64), scores, 1 - scores)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_files_list_all_suspects_and_points(dataset: Dataset, tmp_path: Path) -> None:
    Advice(all_suspects(), CURVE).write_csv(tmp_path, dataset)
    rows = read(tmp_path / "suspects.csv")
    assert len(rows) == COUNT
    assert rows[0] == {
        "rank": "1",
        "path": "cat/149, a.png",
        "sha256": f"{149:064x}",
        "split": "test",
        "label": "cat",
        "suggested_label": "dog",
        "label_score": "0.0",
        "suggested_score": "1.0",
    }
    points = read(tmp_path / "learning_curve.csv")
    assert [point["kind"] for point in points] == ["measured", "fitted", "fitted"]
    assert points[2] == {
        "pictures": "140",
        "accuracy": "0.7",
        "low": "0.6",
        "high": "0.8",
        "kind": "fitted",
    }


def test_the_metrics_have_the_number_of_suspects_and_the_first_of_them(dataset: Dataset) -> None:
    record = json.loads(json.dumps(Advice(all_suspects(), CURVE).record(dataset)))
    assert (record["suspects"]["count"], record["suspects"]["examined"]) == (COUNT, COUNT)
    assert len(record["suspects"]["pictures"]) == MAX_RECORDED
    assert record["suspects"]["pictures"][1]["path"] == "cat/148, a.png"
    assert record["learning_curve"]["twice"]["pictures"] == 140
    assert record["learning_curve"]["summary"] == "A sentence."


def test_without_results_the_reason_is_recorded(dataset: Dataset, tmp_path: Path) -> None:
    advice = Advice.unknown("the time budget was spent")
    record = advice.record(dataset)
    assert record["suspects"]["reason"] == "the time budget was spent"
    assert record["suspects"]["count"] == 0
    assert record["learning_curve"]["twice"] is None
    assert "the time budget was spent" in record["learning_curve"]["summary"]
    advice.write_csv(tmp_path, dataset)
    assert read(tmp_path / "suspects.csv") == read(tmp_path / "learning_curve.csv") == []
    assert (tmp_path / "suspects.csv").read_text().startswith("rank,path,sha256,split,label")


def test_the_log_has_one_line() -> None:
    assert (
        str(Advice(all_suspects(), CURVE))
        == "150 of 150 pictures may have wrong labels. A sentence."
    )
    assert str(Advice.unknown("it rains")) == (
        "labels were not examined, because it rains. What more pictures would bring is unknown, "
        "because it rains."
    )


def test_all_labels_of_a_suspect_are_listed(dataset: Dataset, tmp_path: Path) -> None:
    targets = np.zeros((COUNT, 2), np.bool_)
    targets[3] = True
    suspects = Suspects(
        COUNT,
        np.array([3, 4]),
        np.array([[True, False], [False, True]]),
        np.array([0.1, 0.2], np.float32),
        np.array([0.9, 0.8], np.float32),
    )
    Advice(suspects, CURVE).write_csv(tmp_path, replace(dataset, targets=targets))
    rows = read(tmp_path / "suspects.csv")
    assert [(row["label"], row["suggested_label"]) for row in rows] == [
        ("cat|dog", "cat"),
        ("", "dog"),
    ]
