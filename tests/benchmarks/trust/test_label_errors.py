"""The benchmark label_errors.py: which labels it changes, and the rows of its table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.trust.label_errors import Result, change_labels, summarise
from trainers.dataset.dataset import Dataset
from trainers.dataset.inspection import INSPECTION


def test_labels_are_changed_to_another_class_except_those_of_duplicates() -> None:
    dataset = Dataset(
        folder=Path("pets"),
        classes=("cat", "dog", "owl"),
        paths=tuple(map(str, range(100))),
        labels=np.arange(100) % 3,
        splits=("",) * 100,
        digests=("",) * 100,
        inspections=np.zeros(100, INSPECTION),
        duplicate_groups=np.where(np.arange(100) < 60, 0, np.arange(100)),
        fingerprint="",
        left_out=(),
    )
    changed, is_changed = change_labels(dataset, 0.2, np.random.default_rng(0))
    assert is_changed.sum() == 20
    assert not is_changed[:60].any()
    assert ((changed.labels != dataset.labels) == is_changed).all()
    assert set(changed.labels) == {0, 1, 2}


def test_recall_and_precision_are_means_over_seeds() -> None:
    rows = summarise([Result(suspects=50, changed=50, found=40), Result(100, 50, 50)])
    assert rows["recall, mean (lowest)"] == "0.90 (0.80)"
    assert rows["precision, mean (lowest)"] == "0.65 (0.50)"
    assert rows["suspects, mean"] == "75.0"
    assert summarise([Result(0, 50, 0)])["precision, mean (lowest)"] == "0.00 (0.00)"
