"""The metrics of the exported model. Every figure is measured with the ONNX file that is served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.evaluation.predictions import Pictures, Predictions

TOP_K = (3, 5)
MAX_CONFUSED_PAIRS = 5
MAX_MISTAKES = 200
"""metrics.json lists at most this many mistakes for each split, so that the file stays small."""
MAX_DENSE_CLASSES = 100
"""With more classes than this, metrics.json contains the confusion matrix without its zeros. With
its zeros, the matrix of 1,000 classes would take up 11 MB."""


def evaluate(predictions: Predictions, pictures: Pictures) -> dict[str, Any]:
    """Return the metrics of some pictures, as they are written to metrics.json.

    Returns:
        A dictionary with the entries of `summarise` and these:
        log_loss: the mean cross-entropy in nats; None without pictures.
        top_3_accuracy: the share of pictures whose true class is among the 3 most probable classes.
            It is missing if there are at most 3 classes, or no pictures.
        top_5_accuracy: like top_3_accuracy, with 5 classes instead of 3.
        mistakes: path, true class (`truth`), predicted class (`answer`) and score of the wrong
            predictions, the highest score first; at most MAX_MISTAKES.
    """
    matrix = confusion_matrix(predictions.labels, predictions.predicted, len(pictures.classes))
    mistakes = [
        {
            "path": pictures.paths[predictions.rows[position]],
            "truth": pictures.classes[predictions.labels[position]],
            "answer": pictures.classes[predictions.predicted[position]],
            "score": round(float(predictions.scores[position]), 4),
        }
        for position in predictions.mistakes()[:MAX_MISTAKES]
    ]
    figures = summarise(matrix, pictures.classes)
    figures["log_loss"] = float(predictions.losses.mean()) if len(predictions.losses) else None
    for k in TOP_K:
        if len(predictions.ranks) and k < len(pictures.classes):
            figures[f"top_{k}_accuracy"] = float((predictions.ranks < k).mean())
    return {**figures, "mistakes": mistakes}


def summarise(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, Any]:
    """Return all metrics that can be computed from a confusion matrix.

    Returns:
        A dictionary. The accuracies and the interval are None if there are no pictures.
        n: the number of pictures.
        accuracy, accuracy_interval: the share of correct predictions, and its 95% confidence
            interval.
        balanced_accuracy: the mean recall of the classes that have pictures.
        per_class: precision, recall, F1 score and number of pictures of each class.
        confusion_matrix: the matrix as a list of rows; if there are more than MAX_DENSE_CLASSES
            classes, the result of `to_sparse`.
        most_confused: the pairs of classes that are confused most often, from `most_confused`.
    """
    hits, support, answered = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    columns = {
        "precision": hits / np.maximum(answered, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(support + answered, 1),
        "n": support,
    }
    per_class = {
        label: {name: column[index].item() for name, column in columns.items()}
        for index, label in enumerate(classes)
    }
    count, correct = int(matrix.sum()), int(hits.sum())
    recalls = columns["recall"][support > 0]
    return {
        "n": count,
        "accuracy": correct / count if count else None,
        "accuracy_interval": wilson_interval(correct, count),
        "balanced_accuracy": float(recalls.mean()) if len(recalls) else None,
        "per_class": per_class,
        "confusion_matrix": (
            matrix.tolist() if len(classes) <= MAX_DENSE_CLASSES else to_sparse(matrix)
        ),
        "most_confused": list(most_confused(matrix, classes)),
    }


def confusion_matrix(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Count pictures by true class (row) and predicted class (column), as (classes, classes)."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def to_sparse(matrix: NDArray[np.int64]) -> dict[str, Any]:
    """Return the nonzero counts of a matrix and their positions, named as in scipy's coo_array."""
    row, col = np.nonzero(matrix)
    return {
        "format": "coo",
        "shape": list(matrix.shape),
        "row": row.tolist(),
        "col": col.tolist(),
        "data": matrix[row, col].tolist(),
    }


def to_dense(recorded: Sequence[Sequence[int]] | Mapping[str, Any]) -> NDArray[np.int64]:
    """Convert a confusion matrix from metrics.json, dense or sparse, to an array of all counts."""
    if not isinstance(recorded, Mapping):
        return np.array(recorded, np.int64)
    matrix = np.zeros(recorded["shape"], np.int64)
    matrix[recorded["row"], recorded["col"]] = recorded["data"]
    return matrix


def wilson_interval(correct: int, count: int) -> tuple[float, float] | None:
    """Return the 95% confidence interval of the share correct / count; None if `count` is 0.

    The interval of Wilson (1927) is also valid for small counts.
    """
    from scipy.stats import binomtest

    if not count:
        return None
    low, high = binomtest(correct, count).proportion_ci(method="wilson")
    return float(low), float(high)


def most_confused(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield at most MAX_CONFUSED_PAIRS pairs of confused classes, with advice."""
    both_ways = np.triu(matrix + matrix.T, k=1)
    order = np.argsort(-both_ways, axis=None, kind="stable")[:MAX_CONFUSED_PAIRS]
    for index in order:
        first, second = divmod(int(index), len(classes))
        if not both_ways[first, second]:
            return
        if matrix[first, second] < matrix[second, first]:
            first, second = second, first  # now `first` is the class that is mistaken more often
        yield {
            "pair": (classes[first], classes[second]),
            "mistakes": int(matrix[first, second] + matrix[second, first]),
            "advice": _advice(matrix, classes, first, second),
        }


def _advice(matrix: NDArray[np.int64], classes: tuple[str, ...], first: int, second: int) -> str:
    a, b = classes[first], classes[second]
    total, reverse = matrix[first].sum(), matrix[second, first]
    mistakes = matrix[first, second]
    verb = "was" if mistakes == 1 else "were"
    of_a, of_b = (f"picture{'' if number == 1 else 's'}" for number in (total, reverse))
    count = f"{mistakes} of {total} `{a}` {of_a} {verb} classified as `{b}`"
    if reverse:
        return (
            f"{count}, and {reverse} `{b}` {of_b} as `{a}`: check the labels of both classes, then "
            "collect pictures that show how the classes differ."
        )
    return (
        f"{count}, and no `{b}` picture as `{a}`: check the labels of `{a}`, then collect more "
        f"`{a}` pictures that look like `{b}`."
    )
