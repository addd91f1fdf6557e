"""How good the exported model is. Every figure is measured on the ONNX file that is served."""

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
"""The most mistakes that metrics.json lists, so that it stays small for a large test split."""
MAX_DENSE_CLASSES = 100
"""Classes up to which the confusion matrix is written with its zeros; for 1,000 classes two of them
took 22 MB."""


@dataclass(frozen=True)
class Predictions:
    """The answers of a model to pictures of a dataset, all (n,) in the order of `rows`.

    Attributes:
        rows: of the pictures in the dataset.
        labels: indexes of the true classes.
        predicted: indexes of the predicted classes.
        scores: probabilities of the predicted classes, 0 to 1.
        losses: cross-entropies in nats.
        ranks: of the true class among the probabilities, 0 for the highest; empty if unknown.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    scores: NDArray[np.float32]
    losses: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    ranks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def accuracy(self) -> float:
        """Share of correct answers, 0 to 1."""
        return float((self.labels == self.predicted).mean())

    def mistakes(self) -> NDArray[np.int64]:
        """Positions of the wrong answers, the highest score first."""
        wrong = np.flatnonzero(self.labels != self.predicted)
        return wrong[np.argsort(-self.scores[wrong], kind="stable")]


def predict_split(
    predictor: Predictor, dataset: Dataset, split: str, progress: Progress
) -> Predictions:
    """Classify every picture of a split with the exported model.

    Raises:
        MemoryShortageError: there is not enough memory for a single picture.
    """
    rows = dataset.rows(split)
    label = f"evaluating on {split}"
    size = _GPU_BATCH if predictor.provider == CUDA else _BATCH
    predict = AdaptiveBatches(predictor.predict, size, label)
    log.info("%s: the exported ONNX in ONNX Runtime, %s", label, predictor.provider)
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
    """The figures of a split, as they stand in metrics.json.

    Returns:
        n, accuracy, accuracy_interval (95%), balanced_accuracy (mean recall of the classes that
        have pictures), per_class, confusion_matrix (rows: true class, columns: answer, in the order
        of the classes; above 100 classes as `to_sparse` says), most_confused, log_loss (nats),
        top_3_accuracy and top_5_accuracy where there are more classes than that, and mistakes:
        path, truth, answer and score of at most 200, the highest score first.
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
    """All figures that follow from a confusion matrix."""
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
    """Counts (classes, classes): rows are true classes, columns predicted ones."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def to_sparse(matrix: NDArray[np.int64]) -> dict[str, Any]:
    """A matrix of counts by its entries other than 0: shape, row, col, data.

    scipy.sparse.coo_array takes them like this.
    """
    row, col = np.nonzero(matrix)
    return {
        "format": "coo",
        "shape": list(matrix.shape),
        "row": row.tolist(),
        "col": col.tolist(),
        "data": matrix[row, col].tolist(),
    }


def to_dense(recorded: Sequence[Sequence[int]] | Mapping[str, Any]) -> NDArray[np.int64]:
    """The confusion matrix (classes, classes) of a metrics.json, whose form depends on its size."""
    if not isinstance(recorded, Mapping):
        return np.array(recorded, np.int64)
    matrix = np.zeros(recorded["shape"], np.int64)
    matrix[recorded["row"], recorded["col"]] = recorded["data"]
    return matrix


def wilson_interval(correct: int, count: int) -> tuple[float, float] | None:
    """95% confidence interval of a share (Wilson 1927), which holds for small counts, too."""
    from scipy.stats import binomtest

    if not count:
        return None
    low, high = binomtest(correct, count).proportion_ci(method="wilson")
    return float(low), float(high)


def most_confused(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The pairs of classes that are confused most often, with advice on what to do."""
    both_ways = np.triu(matrix + matrix.T, k=1)
    order = np.argsort(-both_ways, axis=None, kind="stable")[:MAX_CONFUSED_PAIRS]
    for index in order:
        first, second = divmod(int(index), len(classes))
        if not both_ways[first, second]:
            return
        if matrix[first, second] < matrix[second, first]:
            first, second = second, first  # the first is taken for the second more often
        yield {
            "pair": (classes[first], classes[second]),
            "mistakes": int(matrix[first, second] + matrix[second, first]),
            "advice": _advice(matrix, classes, first, second),
        }


def _advice(matrix: NDArray[np.int64], classes: tuple[str, ...], first: int, second: int) -> str:
    a, b = classes[first], classes[second]
    total, reverse = matrix[first].sum(), matrix[second, first]
    count = f"{matrix[first, second]} of {total} `{a}` pictures were taken for `{b}`"
    if reverse:
        return (
            f"{count} and {reverse} the other way round: check the labels of both, then collect "
            "pictures that show what tells them apart."
        )
    return (
        f"{count}, none the other way round: check the labels of `{a}` and collect more of its "
        f"pictures that look like `{b}`."
    )
