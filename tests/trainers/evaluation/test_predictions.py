from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from service.engine.classification import ModelOutputs
from trainers.evaluation.predictions import Predictions, predict_split
from trainers.progress import Progress, log

CLASSES = ("cat", "dog", "owl")


class Dogs:
    """Answers dog, with a higher score for later pictures; fails above `max_batch` pictures."""

    provider = "CPUExecutionProvider"
    max_batch = 1000

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, images: np.ndarray) -> ModelOutputs:
        self.sizes.append(len(images))
        if len(images) > self.max_batch:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 8")
        confidence = 0.5 + images / 1000
        other = (1 - confidence) / 2
        return ModelOutputs(np.stack([other, confidence, other], axis=1), images[:, None] * [1, -1])


def predict_dogs(count: int, predictor: Dogs | None = None) -> tuple[Predictions, SimpleNamespace]:
    """Predict dog for pictures of cats, dogs and owls in turn; return predictions and dataset."""

    rows = np.arange(1, 2 * count, 2)
    dataset = SimpleNamespace(
        classes=CLASSES,
        labels=np.arange(2 * count) // 2 % 3,
        paths=[f"{row}.png" for row in range(2 * count)],
        images=np.arange(2 * count),
        rows=lambda split: rows if split == "test" else rows[:0],
    )
    return predict_split(predictor or Dogs(), dataset, "test", Progress(is_quiet=True)), dataset


def test_every_picture_of_the_split_is_classified() -> None:
    predictions, _ = predict_dogs(20)
    assert predictions.rows.tolist() == list(range(1, 40, 2))
    assert predictions.labels.tolist() == [index % 3 for index in range(20)]
    assert predictions.predicted.tolist() == [1] * 20
    assert predictions.scores == pytest.approx([0.5 + row / 1000 for row in predictions.rows])
    assert predictions.embeddings.tolist() == [[row, -row] for row in predictions.rows]


def test_batches_are_smaller_if_memory_is_short() -> None:
    dogs = Dogs()
    dogs.max_batch = 3
    predictions, _ = predict_dogs(20, dogs)
    assert predictions.scores == pytest.approx([0.5 + row / 1000 for row in predictions.rows])
    assert dogs.sizes[:3] == [8, 4, 2]
    assert set(dogs.sizes[3:]) == {2}


@pytest.mark.parametrize(
    ("provider", "size"), [("CPUExecutionProvider", 8), ("CUDAExecutionProvider", 32)]
)
def test_the_provider_is_logged_and_determines_the_batch_size(
    caplog: pytest.LogCaptureFixture, provider: str, size: int
) -> None:
    dogs = Dogs()
    dogs.provider = provider
    log.addHandler(caplog.handler)
    level = log.level
    log.setLevel("INFO")
    predict_dogs(40, dogs)
    log.setLevel(level)
    log.removeHandler(caplog.handler)
    assert dogs.sizes[0] == size
    assert f"on test: the exported ONNX model runs in ONNX Runtime on {provider}" in caplog.text


def test_classes_scores_losses_and_ranks_follow_from_the_probabilities() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]], np.float32)
    predictions = Predictions(np.arange(2), np.array([0, 2]), probabilities)
    assert predictions.predicted.tolist() == [0, 0]
    assert predictions.scores == pytest.approx([0.7, 0.5])
    assert predictions.losses == pytest.approx(-np.log([0.7, 0.2]))
    assert predictions.ranks.tolist() == [0, 2]
    assert predictions.accuracy == 0.5
    assert predictions.mistakes().tolist() == [1]


def test_probabilities_are_replaced_for_the_rows_that_both_have() -> None:
    rows = np.array([1, 3, 5])
    exported = Predictions(rows, rows % 3, np.eye(3, dtype=np.float32), rows[:, None] * [1.0, -1.0])
    others = Predictions(
        np.array([0, 1, 2, 5]), np.zeros(4, np.int64), np.arange(12.0).reshape(4, 3)
    )
    joined = exported.with_probabilities_of(others)
    assert joined.rows.tolist() == [1, 5]
    assert joined.labels.tolist() == [1, 2]
    assert joined.probabilities.tolist() == [[3, 4, 5], [9, 10, 11]]
    assert joined.embeddings.tolist() == [[1, -1], [5, -5]]
