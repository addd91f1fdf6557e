"""The sections of a page that every measured model has, whether it was just trained or not.

They show the accuracy, the confused classes, mistakes and right answers, the calibration, the
figures of each class, and the confusion matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.bundle import summary
from service.bundle.manifest import Manifest
from trainers.evaluation.metrics import to_dense
from trainers.evaluation.predictions import Pictures, Predictions
from trainers.reporting import charts, gallery, reliability

MAX_PER_PAIR, MAX_MISTAKES = 6, 24
"""The page shows at most MAX_PER_PAIR thumbnails for each pair of confused classes, and at most
MAX_MISTAKES thumbnails of the wrong predictions with the highest scores."""
MAX_IN_MATRIX, MAX_IN_TABLE = 30, 100
"""The page shows at most MAX_IN_MATRIX classes in the confusion matrix, and MAX_IN_TABLE classes in
a table. metrics.json contains all of them."""
MAX_RIGHT_CLASSES, MAX_RIGHT_PER_CLASS = 8, 5
"""The largest number of classes whose right answers are shown, and of thumbnails of each."""
_MOST_CONFUSED = 20
"""If there are more than MAX_IN_MATRIX classes, the matrix shows only this many, the most confused.
"""


def measured_sections(
    manifest: Manifest, metrics: Mapping[str, Any], pictures: Pictures, predictions: Predictions
) -> dict[str, Any]:
    """Return the values that report.html needs for these sections.

    Args:
        metrics: `test` and `calibration`, as in metrics.json. The table of classes has the number
            of training pictures if there is also `train`.
        pictures: the pictures that were classified.
        predictions: the predictions for them.
    """
    test, calibration = metrics["test"], metrics["calibration"]
    return {
        "manifest": manifest,
        "is_drawn": summary.training_data(manifest)["source"] == summary.DRAWN,
        "drawn": summary.DRAWN,
        "metrics": metrics,
        "test": test,
        "calibration": calibration,
        "charts": charts,
        "pairs": [
            (pair, gallery.confusions_of_pair(predictions, pictures, pair["pair"], MAX_PER_PAIR))
            for pair in test["most_confused"]
        ],
        "mistakes": gallery.most_confident_mistakes(predictions, pictures, MAX_MISTAKES),
        "wrong_count": len(predictions.mistakes()),
        "majority": _majority_class(test),
        "classes": _per_class(metrics),
        "right": _right_answers(metrics, predictions, pictures),
        "matrix": _matrix(test, manifest.classes),
        "reliability": reliability.plot(calibration["bins"]),
    }


def _majority_class(test: Mapping[str, Any]) -> tuple[str, float] | None:
    """The class with the most test pictures, and its share, 0 to 1; None without test pictures."""
    if not test["n"]:
        return None
    label, figures = max(test["per_class"].items(), key=lambda item: item[1]["n"])
    return label, figures["n"] / test["n"]


def _per_class(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The metrics of each class as rows of a table: the lowest F1 first, and last the classes
    without test pictures."""
    train = metrics.get("train", {}).get("per_class", {})
    rows = [
        {**figures, "label": label, "train": train.get(label, {}).get("n")}
        for label, figures in metrics["test"]["per_class"].items()
    ]
    return sorted(rows, key=lambda row: (not row["n"], row["f1"]))[:MAX_IN_TABLE]


def _right_answers(
    metrics: Mapping[str, Any], predictions: Predictions, pictures: Pictures
) -> list[tuple[str, list[gallery.Thumbnail]]]:
    """Correctly classified test pictures of classes, the lowest F1 first."""
    labels = [row["label"] for row in _per_class(metrics) if row["recall"]]
    return [
        (label, gallery.right_answers(predictions, pictures, label, MAX_RIGHT_PER_CLASS))
        for label in labels[:MAX_RIGHT_CLASSES]
    ]


def _matrix(test: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The confusion matrix of all classes, or of the most confused ones if there are many.

    For each class in the matrix, `others` is the number of its pictures that were classified as a
    class outside the matrix.
    """
    matrix = to_dense(test["confusion_matrix"])
    chosen = np.arange(len(classes))
    if len(classes) > MAX_IN_MATRIX:
        wrong = matrix.sum(0) + matrix.sum(1) - 2 * matrix.diagonal()
        chosen = np.sort(np.argsort(-wrong, kind="stable")[:_MOST_CONFUSED])
    part = matrix[np.ix_(chosen, chosen)]
    return {
        "labels": [classes[index] for index in chosen.tolist()],
        "rows": part.tolist(),
        "others": (matrix[chosen].sum(1) - part.sum(1)).tolist(),
        "sums": matrix[chosen].sum(1).tolist(),
        "is_part": len(chosen) < len(classes),
    }
