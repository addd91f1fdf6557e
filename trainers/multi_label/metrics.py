"""The metrics of an exported multi-label model, measured with the ONNX file that is served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.engine.classification import join_labels
from trainers.evaluation.average_precision import average_precisions
from trainers.evaluation.metrics import MAX_DENSE_CLASSES, MAX_MISTAKES, to_sparse, wilson_interval
from trainers.evaluation.predictions import Pictures, Predictions
from trainers.evaluation.selection import cross_entropies

RESAMPLES = 200
"""Number of bootstrap samples of the pictures for a confidence interval."""
AVERAGES = ("macro_f1", "micro_f1", "mean_average_precision")


class LabelledPictures(Pictures, Protocol):
    """Multi-label pictures: a `Dataset`, or the pictures of another table.

    Attributes:
        targets: (N, labels) whether each picture has each label.
    """

    @property
    def targets(self) -> NDArray[np.bool_]: ...


def evaluate(
    predictions: Predictions, pictures: LabelledPictures, thresholds: NDArray[np.float32]
) -> dict[str, Any]:
    """Return the metrics of predictions, as they are written to metrics.json.

    Args:
        thresholds: (labels,) the lowest probability of each label in an answer.

    Returns:
        n: the number of pictures.
        accuracy, accuracy_interval: the share of pictures whose labels are all right (subset
            accuracy), and its 95% confidence interval; None without pictures.
        majority_share: the share of pictures with the most common set of labels, which is the
            accuracy of always answering with it.
        macro_f1, micro_f1, mean_average_precision: the mean F1 score and average precision of the
            labels that pictures have, and the F1 score of all labels together. None if the pictures
            have no labels. Each has an `_interval`, the 95% interval of the bootstrap.
        per_class: precision, recall, F1 score and average precision (None without pictures) of
            each label; the number of pictures with it, `n`, and of answers with it, `answered`; and
            its threshold.
        cooccurrence: the number of pictures with both of two labels, as a matrix (labels, labels)
            like the confusion matrix of single-label models.
        log_loss: the mean binary cross-entropy in nats of a label of a picture.
        mistakes: path, true labels (`truth`) and labels in the answer (`answer`) of pictures with a
            wrong label, each joined by |, and the probability of the wrong decision that is the
            most certain (`score`); the highest first, at most MAX_MISTAKES.
    """
    truth = pictures.targets[predictions.rows]
    probabilities = predictions.probabilities
    answers = probabilities >= thresholds
    right = (answers == truth).all(axis=1)
    count, correct = len(truth), int(right.sum())
    common = Counter(row.tobytes() for row in truth).most_common(1)
    averages = measure_averages(probabilities, truth, answers)
    matrix = truth.T.astype(np.int64) @ truth
    return {
        "n": count,
        "accuracy": correct / count if count else None,
        "accuracy_interval": wilson_interval(correct, count),
        "majority_share": common[0][1] / count if count else None,
        **averages,
        "per_class": _per_class(probabilities, truth, answers, pictures.classes, thresholds),
        "cooccurrence": matrix.tolist() if len(matrix) <= MAX_DENSE_CLASSES else to_sparse(matrix),
        "log_loss": float(cross_entropies(probabilities, truth).mean()) if truth.size else None,
        "mistakes": list(_mistakes(predictions, truth, answers, pictures)),
    }


def _per_class(
    probabilities: NDArray[np.float32],
    truth: NDArray[np.bool_],
    answers: NDArray[np.bool_],
    classes: tuple[str, ...],
    thresholds: NDArray[np.float32],
) -> dict[str, dict[str, Any]]:
    hits, support, answered = (part.sum(axis=0) for part in (truth & answers, truth, answers))
    precisions = average_precisions(probabilities, truth, np.ones(len(truth)))
    columns = {
        "precision": hits / np.maximum(answered, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(support + answered, 1),
        "n": support,
        "answered": answered,
        "threshold": thresholds.astype(np.float64),
    }
    return {
        label: {
            **{name: column[index].item() for name, column in columns.items()},
            "average_precision": float(precisions[index]) if support[index] else None,
        }
        for index, label in enumerate(classes)
    }


def measure_averages(
    probabilities: NDArray[np.float32], truth: NDArray[np.bool_], answers: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return the AVERAGES of the labels with their bootstrap intervals; None without labels."""
    if not truth.any():
        return {name: None for average in AVERAGES for name in (average, f"{average}_interval")}
    figures = _averages(probabilities, truth, answers, np.ones(len(truth)))
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, len(truth), len(truth))
        weights = np.bincount(drawn, minlength=len(truth)).astype(np.float64)
        if weights[truth.any(axis=1)].any():
            samples.append(_averages(probabilities, truth, answers, weights))
    low, high = np.percentile(np.array(samples), [2.5, 97.5], axis=0)
    return {
        name: value
        for index, average in enumerate(AVERAGES)
        for name, value in (
            (average, float(figures[index])),
            (f"{average}_interval", (float(low[index]), float(high[index]))),
        )
    }


def _averages(
    probabilities: NDArray[np.float32],
    truth: NDArray[np.bool_],
    answers: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Return the AVERAGES, with a weight (n,) for each picture."""
    hits, support, answered = (weights @ part for part in (truth & answers, truth, answers))
    f1 = 2 * hits / np.maximum(support + answered, 1)
    micro = 2 * hits.sum() / (support + answered).sum()
    precisions = average_precisions(probabilities, truth, weights)
    has_pictures = support > 0
    return f1[has_pictures].mean(), micro, precisions[has_pictures].mean()


def _mistakes(
    predictions: Predictions,
    truth: NDArray[np.bool_],
    answers: NDArray[np.bool_],
    pictures: LabelledPictures,
) -> Iterator[dict[str, Any]]:
    names = np.array(pictures.classes)
    certainty = np.where(answers, predictions.probabilities, 1 - predictions.probabilities)
    highest = np.where(answers != truth, certainty, 0).max(axis=1, initial=0)
    wrong = np.flatnonzero((answers != truth).any(axis=1))
    for position in wrong[np.argsort(-highest[wrong], kind="stable")][:MAX_MISTAKES]:
        yield {
            "path": pictures.paths[predictions.rows[position]],
            "truth": join_labels(names[truth[position]]),
            "answer": join_labels(names[answers[position]]),
            "score": round(float(highest[position]), 4),
        }
