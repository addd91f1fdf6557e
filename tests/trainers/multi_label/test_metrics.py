from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from trainers.evaluation.predictions import Predictions
from trainers.multi_label.metrics import evaluate

RNG = np.random.default_rng(0)
TARGETS = RNG.random((50, 3)) < [0.5, 0.3, 0.1]
PROBABILITIES = np.clip(TARGETS * 0.4 + RNG.random(TARGETS.shape) * 0.6, 0, 1).astype(np.float32)
PROBABILITIES[:20] = PROBABILITIES[:20].round(1)  # several scores are equal
THRESHOLDS = np.array([0.5, 0.6, 0.5], np.float32)


def measure(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    names = ("a", "b", "c")
    dataset: Any = SimpleNamespace(
        targets=targets,
        classes=names,
        paths=tuple(f"{row}.png" for row in range(len(targets))),
        join_labels=lambda chosen: "|".join(np.array(names)[chosen]),
    )
    rows = np.arange(len(targets))
    return evaluate(Predictions(rows, rows, probabilities), dataset, THRESHOLDS)


def test_figures_are_those_of_scikit_learn() -> None:
    figures, answers = measure(TARGETS, PROBABILITIES), PROBABILITIES >= THRESHOLDS
    for average in ("macro", "micro"):
        low, high = figures[f"{average}_f1_interval"]
        expected = f1_score(TARGETS, answers, average=average)
        assert figures[f"{average}_f1"] == pytest.approx(expected)
        assert low < expected < high
    precision = average_precision_score(TARGETS, PROBABILITIES, average="macro")
    assert figures["mean_average_precision"] == pytest.approx(precision)
    for label, name in enumerate("abc"):
        row = figures["per_class"][name]
        assert row["f1"] == pytest.approx(f1_score(TARGETS[:, label], answers[:, label]))
        assert (row["n"], row["answered"]) == (TARGETS[:, label].sum(), answers[:, label].sum())
        assert row["threshold"] == pytest.approx(THRESHOLDS[label])
    assert figures["accuracy"] == (answers == TARGETS).all(axis=1).mean()
    assert len(figures["mistakes"]) == round(50 * (1 - figures["accuracy"]))


def test_mistakes_and_labels_that_occur_together() -> None:
    targets = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]], np.bool_)
    given = np.array([[0.9, 0.1, 0.2], [0.8, 0, 0], [0.9, 0, 0], [0, 0, 0]], np.float32)
    figures = measure(targets, given)
    assert figures["mistakes"] == [
        {"path": "0.png", "truth": "a|b", "answer": "a", "score": 0.9},
        {"path": "1.png", "truth": "", "answer": "a", "score": 0.8},
    ]
    assert figures["cooccurrence"] == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert (figures["accuracy"], figures["majority_share"]) == (0.5, 0.5)
    assert figures["per_class"]["c"]["average_precision"] is None
    assert figures["macro_f1"] == pytest.approx((0.8 + 0) / 2)  # c has no picture


@pytest.mark.parametrize("count", [0, 2])
def test_figures_without_labels_are_none(count: int) -> None:
    figures = measure(np.zeros((count, 3), np.bool_), np.zeros((count, 3), np.float32))
    assert (figures["macro_f1"], figures["mean_average_precision_interval"]) == (None, None)
    assert figures["accuracy"] == (1.0 if count else None)
    assert (figures["log_loss"] is None) == (count == 0)
