"""The tables of a report: figures of each class, the confusion matrix, the provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trainers.evaluation.metrics import to_dense

MAX_IN_MATRIX, MAX_IN_TABLE = 30, 100
"""The report shows at most MAX_IN_MATRIX classes in the confusion matrix, and MAX_IN_TABLE classes
in a table. metrics.json contains all of them."""
_MOST_CONFUSED = 20
"""If there are more than MAX_IN_MATRIX classes, the matrix shows only this many, the most confused.
"""


def majority_class(test: Mapping[str, Any]) -> tuple[str, float] | None:
    """The class with the most test pictures, and its share, 0 to 1; None without test pictures."""
    if not test["n"]:
        return None
    label, figures = max(test["per_class"].items(), key=lambda item: item[1]["n"])
    return label, figures["n"] / test["n"]


def per_class(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The metrics of each class as rows of a table: the lowest F1 first, and last the classes
    without test pictures."""
    train = metrics.get("train", {}).get("per_class", {})
    rows = [
        {**figures, "label": label, "train": train.get(label, {}).get("n")}
        for label, figures in metrics["test"]["per_class"].items()
    ]
    return sorted(rows, key=lambda row: (not row["n"], row["f1"]))[:MAX_IN_TABLE]


def weight_effect(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The effect of class weights on the recall of each class, as rows of a table.

    The class with the fewest training pictures comes first. There are no rows if the effect was not
    measured, which happens if the classes are balanced or the time budget was spent.
    """
    train = metrics["train"]["per_class"]
    rows = [
        {**row, "label": label, "train": train[label]["n"], "weight": train[label]["weight"]}
        for label, row in (metrics["balance"] or {}).items()
    ]
    return sorted(rows, key=lambda row: row["train"])[:MAX_IN_TABLE]


def confusion_matrix(test: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
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


def flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names and values of nested mappings as rows of a table."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name} ")
        elif value is not None:
            yield f"{prefix}{name}".replace("_", " "), value
