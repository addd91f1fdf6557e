from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_array
from sklearn.metrics import log_loss, top_k_accuracy_score

from service.engine.classification import ModelOutputs
from tests.trainers.evaluation.test_predictions import CLASSES, Dogs, predict_dogs
from trainers.evaluation import metrics
from trainers.evaluation.metrics import (
    MAX_DENSE_CLASSES,
    confusion_matrix,
    evaluate,
    most_confused,
    summarise,
    to_dense,
    wilson_interval,
)
from trainers.evaluation.predictions import predict_split
from trainers.progress import Progress

MATRIX = np.array([[8, 2, 0], [1, 9, 0], [0, 3, 2]])


def test_the_confusion_matrix_counts_true_classes_in_rows() -> None:
    matrix = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]


def test_figures_by_hand() -> None:
    figures = summarise(MATRIX, CLASSES)
    assert figures["n"] == 25
    assert figures["accuracy"] == 19 / 25
    dog = figures["per_class"]["dog"]
    assert dog["precision"] == 9 / 14
    assert dog["recall"] == 9 / 10
    assert dog["f1"] == pytest.approx(2 * 9 / (14 + 10))
    assert dog["n"] == 10
    assert figures["confusion_matrix"] == MATRIX.tolist()


def test_a_class_that_is_never_predicted_has_zeros_not_errors() -> None:
    figures = summarise(np.array([[3, 0], [2, 0]]), ("a", "b"))["per_class"]["b"]
    assert figures == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 2}


@pytest.mark.parametrize(
    ("correct", "count", "expected"),
    [  # from the closed form, checked against R's prop.test(correct=FALSE)
        (90, 100, (0.8256, 0.9448)),
        (0, 10, (0.0, 0.2775)),
        (10, 10, (0.7225, 1.0)),
    ],
)
def test_the_interval_is_wilsons(correct: int, count: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(correct, count) == pytest.approx(expected, abs=1e-4)


def test_every_class_weighs_the_same_in_the_balanced_accuracy() -> None:
    assert summarise(MATRIX, CLASSES)["balanced_accuracy"] == pytest.approx((0.8 + 0.9 + 0.4) / 3)
    absent = np.array([[8, 2, 0], [0, 0, 0], [0, 3, 2]])
    assert summarise(absent, CLASSES)["balanced_accuracy"] == pytest.approx((0.8 + 0.4) / 2)


def test_without_pictures_there_is_no_accuracy() -> None:
    figures = summarise(np.zeros((2, 2), np.int64), ("a", "b"))
    assert figures["accuracy"] is None
    assert figures["balanced_accuracy"] is None
    assert figures["accuracy_interval"] is None


def test_the_most_confused_pairs_come_first_with_advice() -> None:
    pairs = list(most_confused(MATRIX, CLASSES))
    assert [pair["pair"] for pair in pairs] == [("cat", "dog"), ("owl", "dog")]
    assert [pair["mistakes"] for pair in pairs] == [3, 3]
    assert pairs[0]["advice"].startswith(
        "2 of 10 `cat` pictures were classified as `dog`, and 1 `dog` picture as `cat`: check the"
    )
    assert pairs[1]["advice"] == (
        "3 of 5 `owl` pictures were classified as `dog`, and no `dog` picture as `owl`: check the "
        "labels of `owl`, then collect more `owl` pictures that look like `dog`."
    )


def test_without_mistakes_there_is_no_advice() -> None:
    assert list(most_confused(np.diag([3, 4, 5]), CLASSES)) == []


class Descending:
    """Gives each picture the same probabilities, the highest to the first class."""

    provider = "CPUExecutionProvider"
    answer = np.array([0.5, 0.2, 0.15, 0.1, 0.04, 0.01], np.float32)

    def run(self, images: np.ndarray) -> ModelOutputs:
        return ModelOutputs(np.tile(self.answer, (len(images), 1)), images[:, np.newaxis])


@pytest.mark.parametrize(("classes", "top"), [(6, {3: 3 / 6, 5: 5 / 6}), (5, {3: 3 / 5}), (3, {})])
def test_log_loss_and_top_k_equal_those_of_scikit_learn(
    classes: int, top: dict[int, float]
) -> None:
    labels = np.arange(60) % classes
    dataset: Any = SimpleNamespace(
        classes=tuple("abcdef"[:classes]),
        labels=labels,
        paths=["x.png"] * 60,
        images=np.arange(60),
        rows=lambda split: np.arange(60),
    )
    predictor = Descending()
    predictor.answer = predictor.answer[:classes] / predictor.answer[:classes].sum()
    predictions = predict_split(predictor, dataset, "test", Progress(is_quiet=True))  # type: ignore[arg-type]
    figures = evaluate(predictions, dataset)
    probabilities = predictor.run(dataset.images).probabilities
    assert figures["log_loss"] == pytest.approx(log_loss(labels, probabilities), rel=1e-5)
    for k in (3, 5):
        assert figures.get(f"top_{k}_accuracy") == top.get(k)
        if k in top:
            assert top[k] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=k))


def test_an_empty_split_has_no_figures() -> None:
    _, dataset = predict_dogs(2)
    predictions = predict_split(Dogs(), dataset, "validation", Progress(is_quiet=True))  # type: ignore[arg-type]
    figures = evaluate(predictions, dataset)  # type: ignore[arg-type]
    assert (figures["n"], figures["accuracy"], figures["mistakes"]) == (0, None, [])
    assert figures["log_loss"] is None


def test_mistakes_are_listed_the_highest_score_first(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, dataset = predict_dogs(4)
    figures = evaluate(predictions, dataset)  # type: ignore[arg-type]
    assert figures["mistakes"] == [
        {"path": "7.png", "truth": "cat", "answer": "dog", "score": 0.507},
        {"path": "5.png", "truth": "owl", "answer": "dog", "score": 0.505},
        {"path": "1.png", "truth": "cat", "answer": "dog", "score": 0.501},
    ]
    json.dumps(figures)
    monkeypatch.setattr(metrics, "MAX_MISTAKES", 2)
    assert len(evaluate(predictions, dataset)["mistakes"]) == 2  # type: ignore[arg-type]


def test_the_matrix_of_many_classes_is_written_sparsely() -> None:
    """Two dense matrices of 1,000 classes would take 22 MB of metrics.json."""
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 1000, (2, 3000))
    matrix = confusion_matrix(labels, predicted, 1000)
    classes = tuple(f"class {number}" for number in range(1000))
    recorded = summarise(matrix, classes)["confusion_matrix"]
    assert recorded["shape"] == [1000, 1000]
    assert len(json.dumps(recorded, indent=2)) < 250_000
    np.testing.assert_array_equal(to_dense(recorded), matrix)
    pairs = (recorded["data"], (recorded["row"], recorded["col"]))  # as documented
    np.testing.assert_array_equal(coo_array(pairs, recorded["shape"]).toarray(), matrix)


def test_the_matrix_of_up_to_100_classes_is_a_list_of_rows() -> None:
    matrix = np.eye(MAX_DENSE_CLASSES, dtype=np.int64)
    recorded = summarise(matrix, tuple(map(str, range(len(matrix)))))["confusion_matrix"]
    assert recorded == matrix.tolist()
    np.testing.assert_array_equal(to_dense(recorded), matrix)
