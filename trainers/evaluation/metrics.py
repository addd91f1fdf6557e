"""The metrics of the exported model. Every figure is measured with the ONNX file that is served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.onnx_session import CUDA
from service.engine.predictor import Predictor
from trainers.dataset.dataset import Dataset
from trainers.progress import Progress, log
from trainers.resources.out_of_memory import AdaptiveBatches

_BATCH, _GPU_BATCH = 8, 32
TOP_K = (3, 5)
MAX_CONFUSED_PAIRS = 5
MAX_MISTAKES = 200
"""The largest number of mistakes of a split in metrics.json. The limit keeps the file small."""
MAX_DENSE_CLASSES = 100
"""With more classes, metrics.json contains the confusion matrix without its zeros. With zeros, the
matrix of 1,000 classes would take 11 MB."""


@dataclass(frozen=True)
class Predictions:
    """The answers of a model to n pictures of a dataset. All arrays have the same order.

    Attributes:
        rows: (n,) the rows of the pictures in the dataset.
        labels: (n,) indexes of the true classes.
        predicted: (n,) indexes of the predicted classes.
        scores: (n,) probabilities of the predicted classes, 0 to 1.
        losses: (n,) cross-entropies in nats; empty if unknown.
        ranks: (n,) the rank of the true class by probability, 0 for the highest; empty if unknown.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    scores: NDArray[np.float32]
    losses: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    ranks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def accuracy(self) -> float:
        """The share of correct answers, 0 to 1."""
        return float((self.labels == self.predicted).mean())

    def mistakes(self) -> NDArray[np.int64]:
        """Return the positions of the wrong answers, the highest score first."""
        wrong = np.flatnonzero(self.labels != self.predicted)
        return wrong[np.argsort(-self.scores[wrong], kind="stable")]


def predict_split(
    predictor: Predictor, dataset: Dataset, split: str, progress: Progress
) -> Predictions:
    """Classify every picture of a split with the exported model.

    Raises:
        MemoryShortageError: the memory is too small for one picture.
    """
    rows = dataset.rows(split)
    label = f"evaluating on {split}"
    size = _GPU_BATCH if predictor.provider == CUDA else _BATCH
    predict = AdaptiveBatches(predictor.predict, size, label)
    log.info("%s with the exported ONNX model, in ONNX Runtime on %s", label, predictor.provider)
    probabilities = np.zeros((len(rows), len(dataset.classes)), np.float32)
    with progress.steps(len(rows), label) as advance:
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            probabilities[start : start + len(batch)] = predict(dataset.images[batch])
            advance(len(batch))
    labels = dataset.labels[rows]
    true = probabilities[np.arange(len(rows)), labels]
    losses = -np.log(np.clip(true.astype(np.float64), 1e-7, 1))
    predicted, scores = probabilities.argmax(axis=1), probabilities.max(axis=1)
    ranks = (true < probabilities.T).sum(axis=0)
    return Predictions(rows, labels, predicted, scores, losses, ranks)


def evaluate(predictions: Predictions, dataset: Dataset) -> dict[str, Any]:
    """Return the metrics of a split, as they are written to metrics.json.

    Returns:
        The result of `summarise`, and also:
        log_loss: the mean cross-entropy in nats; None if it is unknown.
        top_3_accuracy: the share of pictures whose true class is one of the 3 most probable ones.
            It is missing if there are at most 3 classes.
        top_5_accuracy: the same for 5.
        mistakes: path, truth, answer and score of at most 200 mistakes, the highest score first.
    """
    matrix = confusion_matrix(predictions.labels, predictions.predicted, len(dataset.classes))
    mistakes = [
        {
            "path": dataset.paths[predictions.rows[position]],
            "truth": dataset.classes[predictions.labels[position]],
            "answer": dataset.classes[predictions.predicted[position]],
            "score": round(float(predictions.scores[position]), 4),
        }
        for position in predictions.mistakes()[:MAX_MISTAKES]
    ]
    figures = summarise(matrix, dataset.classes)
    figures["log_loss"] = float(predictions.losses.mean()) if len(predictions.losses) else None
    for k in TOP_K:
        if len(predictions.ranks) and k < len(dataset.classes):
            figures[f"top_{k}_accuracy"] = float((predictions.ranks < k).mean())
    return {**figures, "mistakes": mistakes}


def summarise(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, Any]:
    """Return all metrics that can be computed from a confusion matrix.

    Returns:
        A dictionary. The accuracies and the interval are None if there are no pictures.
        n: the number of pictures.
        accuracy, accuracy_interval: the share of correct answers, and its 95% interval.
        balanced_accuracy: the mean recall of the classes that have pictures.
        per_class: precision, recall, F1 score and number of pictures of each class.
        confusion_matrix: the matrix; in the form of `to_sparse` for more than 100 classes.
        most_confused: the pairs of classes that are confused most often.
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
    """Return counts (classes, classes): rows are true classes, columns are predicted classes."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def to_sparse(matrix: NDArray[np.int64]) -> dict[str, Any]:
    """Return a matrix of counts without its zeros, as the arguments of scipy.sparse.coo_array."""
    row, col = np.nonzero(matrix)
    return {
        "format": "coo",
        "shape": list(matrix.shape),
        "row": row.tolist(),
        "col": col.tolist(),
        "data": matrix[row, col].tolist(),
    }


def to_dense(recorded: Sequence[Sequence[int]] | Mapping[str, Any]) -> NDArray[np.int64]:
    """Return the confusion matrix (classes, classes) that a metrics.json has, as a dense array."""
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
    """Yield the pairs of classes that are confused most often, with advice on what to do."""
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
    count = f"{mistakes} of {total} `{a}` pictures {verb} taken for `{b}`"
    if reverse:
        return (
            f"{count} and {reverse} the other way round: check the labels of both, then collect "
            "pictures that show what tells them apart."
        )
    return (
        f"{count}, none the other way round: check the labels of `{a}` and collect more of its "
        f"pictures that look like `{b}`."
    )
