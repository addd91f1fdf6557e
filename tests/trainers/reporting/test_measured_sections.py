"""tests/trainers/reporting/test_report.py tests the page that these sections are part of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle.manifest import Manifest
from trainers.dataset.dataset import Dataset
from trainers.dataset.decoded_images import Images
from trainers.dataset.inspection import INSPECTION
from trainers.evaluation.calibration import measure_calibration
from trainers.evaluation.metrics import evaluate
from trainers.evaluation.predictions import Predictions
from trainers.reporting.measured_sections import measured_sections

CLASSES = ("red", "green", "blue")


@pytest.fixture
def sections(manifest: Manifest) -> dict[str, Any]:
    """The sections for 6 pictures: 1 of 4 red ones is called green, and nothing is blue."""
    labels, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
    dataset = Dataset(
        folder=Path("pets"),
        classes=CLASSES,
        paths=tuple(f"{number}.png" for number in range(6)),
        labels=labels,
        splits=("test",) * 6,
        digests=("00" * 32,) * 6,
        inspections=np.zeros(6, INSPECTION),
        duplicate_groups=np.arange(6),
        fingerprint="",
        left_out=(),
        images=Images.from_array(np.zeros((6, 32, 32, 3), np.uint8)),
    )
    probabilities = np.eye(3, dtype=np.float32)[predicted]
    predictions = Predictions(np.arange(6), labels, probabilities)
    metrics = {
        "test": evaluate(predictions, dataset),
        "calibration": measure_calibration(predictions, [], 0.9),
    }
    return measured_sections(manifest, metrics, dataset, predictions)


def test_the_sections_need_no_figures_of_the_training(sections: dict[str, Any]) -> None:
    assert sections["wrong_count"] == 1
    assert sections["majority"] == ("red", 4 / 6)
    assert sections["is_drawn"] is False
    (mistake,) = sections["mistakes"]
    assert (mistake.path, mistake.truth, mistake.answer) == ("3.png", "red", "green")
    assert [label for label, _ in sections["right"]] == ["green", "red"]


def test_classes_without_pictures_come_last(sections: dict[str, Any]) -> None:
    rows = [(row["label"], row["train"]) for row in sections["classes"]]
    assert rows == [("green", None), ("red", None), ("blue", None)]
