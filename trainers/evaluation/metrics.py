"""How good the exported model is: every figure comes from the ONNX file that ships."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.predictor import CUDA, Predictor
from trainers.dataset.dataset import Dataset
from trainers.progress import Progress, log
from trainers.resources.out_of_memory import Halving

_BATCH, _GPU_BATCH = 8, 32
TOP_K = (3, 5)
MOST_CONFUSED = 5
MOST_MISTAKES = 200
"""Listed in metrics.json, which stays small however large the test is."""
MOST_IN_DENSE_MATRIX = 100
"""Classes up to which the confusion matrix is written out, zeros and all: two of 1,000 classes
took 22 MB."""


@dataclass(frozen=True)
class Answers:
    """What the model answered to some pictures, all (n,) in the order of `rows`.

    Attributes:
        rows: of the pictures in the dataset.
        true: their classes.
        found: the answered classes.
        scores: of the answers, 0 to 1.
        losses: cross-entropies in nats.
        ranks: of the true class among the answer's classes, from 0; empty where unknown.
    """

    rows: NDArray[np.int64]
    true: NDArray[np.int64]
    found: NDArray[np.int64]
    scores: NDArray[np.float32]
    losses: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    ranks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def accuracy(self) -> float:
        return float((self.true == self.found).mean())

    def mistakes(self) -> NDArray[np.int64]:
        """Positions of the wrong answers, the surest first."""
        wrong = np.flatnonzero(self.true != self.found)
        return wrong[np.argsort(-self.scores[wrong], kind="stable")]


def answer(predictor: Predictor, dataset: Dataset, split: str, progress: Progress) -> Answers:
    """Ask the exported model about every picture of a split.

    Raises:
        MemoryShortageError: one picture is too much for the memory.
    """
    rows = dataset.rows(split)
    label = f"evaluating on {split}"
    size = _GPU_BATCH if predictor.provider == CUDA else _BATCH
    predict = Halving(predictor.predict, size, label)
    log.info("%s: the exported ONNX, by ONNX Runtime's %s", label, predictor.provider)
    probabilities = np.zeros((len(rows), len(dataset.classes)), np.float32)
    with progress.steps(len(rows), label) as advance:
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            probabilities[start : start + len(part)] = predict(dataset.images[part])
            advance(len(part))
    labels = dataset.labels[rows]
    true = probabilities[np.arange(len(rows)), labels]
    losses = -np.log(np.clip(true.astype(np.float64), 1e-7, 1))
    found, scores = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return Answers(rows, labels, found, scores, losses, (true < probabilities.T).sum(axis=0))


def evaluate(answers: Answers, dataset: Dataset) -> dict[str, Any]:
    """Measure answers.

    Returns:
        n, accuracy, accuracy_interval (95%), balanced_accuracy (mean recall of the classes that
        have pictures), per_class, confusion_matrix (rows: true class, columns: answer, in the order
        of the classes; above 100 classes as `sparse` says), most_confused, log_loss (nats),
        top_3_accuracy and top_5_accuracy where there are more classes than that, and mistakes:
        path, truth, answer and score of at most 200, the surest first.
    """
    matrix = confusion_matrix(answers.true, answers.found, len(dataset.classes))
    mistakes = [
        {
            "path": dataset.paths[answers.rows[at]],
            "truth": dataset.classes[answers.true[at]],
            "answer": dataset.classes[answers.found[at]],
            "score": round(float(answers.scores[at]), 4),
        }
        for at in answers.mistakes()[:MOST_MISTAKES]
    ]
    figures = summarise(matrix, dataset.classes)
    figures["log_loss"] = float(answers.losses.mean()) if len(answers.losses) else None
    for k in TOP_K:
        if len(answers.ranks) and k < len(dataset.classes):
            figures[f"top_{k}_accuracy"] = float((answers.ranks < k).mean())
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
        label: {name: column[at].item() for name, column in columns.items()}
        for at, label in enumerate(classes)
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
            matrix.tolist() if len(classes) <= MOST_IN_DENSE_MATRIX else sparse(matrix)
        ),
        "most_confused": list(most_confused(matrix, classes)),
    }


def confusion_matrix(
    true: NDArray[np.int64], found: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Counts (classes, classes): rows are true classes, columns answers."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (true, found), 1)
    return matrix


def sparse(matrix: NDArray[np.int64]) -> dict[str, Any]:
    """A matrix of counts by its entries other than 0, as scipy.sparse.coo_array takes them: shape,
    row, col, data."""
    row, col = np.nonzero(matrix)
    return {
        "format": "coo",
        "shape": list(matrix.shape),
        "row": row.tolist(),
        "col": col.tolist(),
        "data": matrix[row, col].tolist(),
    }


def dense(recorded: Sequence[Sequence[int]] | Mapping[str, Any]) -> NDArray[np.int64]:
    """The confusion matrix of a metrics.json (classes, classes), however it is written there."""
    if not isinstance(recorded, Mapping):
        return np.array(recorded, np.int64)
    matrix = np.zeros(recorded["shape"], np.int64)
    matrix[recorded["row"], recorded["col"]] = recorded["data"]
    return matrix


def wilson_interval(correct: int, count: int) -> tuple[float, float] | None:
    """95% interval of a share (Wilson 1927): honest for small counts and near 0 or 1."""
    from scipy.stats import binomtest

    if not count:
        return None
    low, high = binomtest(correct, count).proportion_ci(method="wilson")
    return float(low), float(high)


def most_confused(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The pairs of classes taken for each other most often, with what to do about it."""
    both_ways = np.triu(matrix + matrix.T, k=1)
    order = np.argsort(-both_ways, axis=None, kind="stable")[:MOST_CONFUSED]
    for place in order:
        one, other = divmod(int(place), len(classes))
        if not both_ways[one, other]:
            return
        # first is the one that is more often mistaken for the second
        first, second = (one, other) if matrix[one, other] >= matrix[other, one] else (other, one)
        yield {
            "pair": (classes[first], classes[second]),
            "mistakes": int(both_ways[one, other]),
            "advice": _advice(matrix, classes, first, second),
        }


def _advice(matrix: NDArray[np.int64], classes: tuple[str, ...], first: int, second: int) -> str:
    there, back, of = matrix[first, second], matrix[second, first], matrix[first].sum()
    a, b = classes[first], classes[second]
    told = f"{there} of {of} `{a}` pictures were taken for `{b}`"
    if back:
        return (
            f"{told} and {back} the other way round: check the labels of both, then collect "
            "pictures that show what tells them apart."
        )
    return (
        f"{told}, none the other way round: check the labels of `{a}` and collect more of its "
        f"pictures that look like `{b}`."
    )
