"""The sections of a page that every measured model has, whether it was just trained or not.

They show the accuracy, the confused classes, mistakes and right answers, the calibration, the
figures of each class, and the confusion matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.bundle import summary
from service.bundle.manifest import Manifest
from trainers.evaluation.predictions import Pictures, Predictions
from trainers.reporting import charts, gallery, reliability, tables

MAX_PER_PAIR, MAX_EXAMPLES, MAX_MISTAKES = 6, 2, 24
"""The page shows at most MAX_PER_PAIR thumbnails for each pair of confused classes, with at most
MAX_EXAMPLES right answers of each class beside them. It shows at most MAX_MISTAKES thumbnails of
the wrong predictions with the highest scores."""
MAX_RIGHT_CLASSES, MAX_RIGHT_PER_CLASS = 12, 4
"""The largest number of classes whose right answers are shown, and of thumbnails of each."""


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
        "pairs": [_pair(pair, pictures, predictions) for pair in test["most_confused"]],
        "mistakes": gallery.most_confident_mistakes(predictions, pictures, MAX_MISTAKES),
        "wrong_count": len(predictions.mistakes()),
        "majority": tables.majority_class(test),
        "classes": tables.per_class(metrics),
        "right": _right_answers(metrics, predictions, pictures),
        "matrix": tables.confusion_matrix(test, manifest.classes),
        "reliability": reliability.plot(calibration["bins"]),
    }


def _pair(
    pair: Mapping[str, Any], pictures: Pictures, predictions: Predictions
) -> tuple[Mapping[str, Any], list[gallery.Thumbnail], list[gallery.Thumbnail]]:
    """A pair of confused classes, the confused pictures, and right answers to compare."""
    examples = [
        example
        for label in pair["pair"]
        for example in gallery.right_answers(predictions, pictures, label, MAX_EXAMPLES)
    ]
    confused = gallery.confusions_of_pair(predictions, pictures, pair["pair"], MAX_PER_PAIR)
    return pair, confused, examples


def _right_answers(
    metrics: Mapping[str, Any], predictions: Predictions, pictures: Pictures
) -> list[tuple[str, list[gallery.Thumbnail]]]:
    """Correctly classified test pictures of classes, the lowest F1 first."""
    labels = [row["label"] for row in tables.per_class(metrics) if row["recall"]]
    return [
        (label, gallery.right_answers(predictions, pictures, label, MAX_RIGHT_PER_CLASS))
        for label in labels[:MAX_RIGHT_CLASSES]
    ]
