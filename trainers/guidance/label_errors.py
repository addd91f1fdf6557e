"""Finds pictures whose label may be wrong, by confident learning.

Source: Northcutt et al. 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels". Each
picture is classified by a head that was not trained on it. Confident learning estimates how many
labels are wrong. The suspects are that many pictures, those with the lowest probability of their
own label (the self-confidence of Kuan and Mueller 2022, "Model-agnostic label quality scoring").

If pictures have several labels, each label is a problem of two classes: it is there, or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_ACCURACY = 0.6
"""If fewer held-out pictures are classified correctly, most suspects would be mistakes of the head,
not of the labels, so there are none."""
MIN_LABELLED, MIN_F1 = 10, 0.8
"""If pictures have several labels: a label is not examined if fewer than MIN_LABELLED pictures have
it, or if the F1 score of held-out answers is below MIN_F1. Their accuracy says little about a label
that most pictures do not have."""


@dataclass(frozen=True)
class Suspects:
    """The pictures whose label may be wrong, the most suspicious first.

    Attributes:
        examined: number of pictures whose label was examined.
        rows: (n,) the row of each suspect in the dataset.
        suggested: (n,) the class index that the head suggests instead of the label; (n, labels)
            bool, whether it suggests each label, if pictures have several.
        label_scores: (n,) the probability of the label, 0 to 1. With several labels: that the least
            probable one is there, or not there, as the picture says.
        suggested_scores: (n,) the probability of the suggestion, 0 to 1.
        reason: why no label was examined; "" if labels were.
    """

    examined: int
    rows: NDArray[np.int64]
    suggested: NDArray[np.int64] | NDArray[np.bool_]
    label_scores: NDArray[np.float32]
    suggested_scores: NDArray[np.float32]
    reason: str = ""

    @classmethod
    def unknown(cls, reason: str) -> Suspects:
        """Return the result if no label was examined."""
        indexes, scores = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return cls(0, indexes, indexes, scores, scores, reason)


def find_multi_label_suspects(
    probabilities: NDArray[np.float32], targets: NDArray[np.bool_], rows: NDArray[np.int64]
) -> Suspects:
    """Find the pictures that may lack a label, or have one that is wrong.

    Args:
        probabilities: (n, labels), as for `find_suspects`.
        targets: (n, labels) whether each picture has each label.
        rows: (n,) the row of each picture in the dataset.
    """
    is_examined = np.isfinite(probabilities).all(axis=1)
    probabilities, targets = probabilities[is_examined], targets[is_examined]
    rows = rows[is_examined]
    if not len(rows):
        return Suspects.unknown("no label has two different pictures")
    answers, support = probabilities > 0.5, targets.sum(axis=0)
    f1 = 2 * (answers & targets).sum(axis=0) / np.maximum(support + answers.sum(axis=0), 1)
    examined = np.flatnonzero((support >= MIN_LABELLED) & (f1 >= MIN_F1))
    if not len(examined):
        return Suspects.unknown(
            f"no label has {MIN_LABELLED} pictures or more, and an F1 score of {MIN_F1:g} or more "
            "with a head that was not trained on them"
        )
    is_wrong = np.zeros_like(targets)
    for label in examined:
        scores = probabilities[:, label]
        pairs = np.stack([1 - scores, scores], axis=1)
        found = find_suspects(pairs, targets[:, label].astype(np.int64), np.arange(len(rows)))
        is_wrong[found.rows, label] = True
    of_table = np.where(targets, probabilities, 1 - probabilities)
    lowest = np.where(is_wrong, of_table, 1).min(axis=1)
    order = np.argsort(lowest, kind="stable")[: is_wrong.any(axis=1).sum()]
    suggested = (targets ^ is_wrong)[order]
    return Suspects(len(rows), rows[order], suggested, lowest[order], 1 - lowest[order])


def find_suspects(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], rows: NDArray[np.int64]
) -> Suspects:
    """Find the pictures whose label may be wrong.

    Args:
        probabilities: (n, classes), for each picture of a head that was not trained on it. A row of
            NaN means that there is no such head; the label of this picture is not examined.
        labels: (n,) the class index of each picture.
        rows: (n,) the row of each picture in the dataset.
    """
    is_examined = np.isfinite(probabilities).all(axis=1)
    probabilities, labels, rows = probabilities[is_examined], labels[is_examined], rows[is_examined]
    if not len(labels):
        return Suspects.unknown("no class has two different pictures")
    predicted = probabilities.argmax(axis=1)
    accuracy = float((predicted == labels).mean())
    if accuracy < MIN_ACCURACY:
        return Suspects.unknown(
            f"a head that was not trained on them gets only {100 * accuracy:.0f}% of the pictures "
            "right, too few to judge labels by its answers"
        )
    own = probabilities[np.arange(len(labels)), labels]
    order = np.argsort(own, kind="stable")[: count_label_errors(probabilities, labels)]
    order = order[predicted[order] != labels[order]]
    highest = probabilities.max(axis=1)
    return Suspects(len(labels), rows[order], predicted[order], own[order], highest[order])


def count_label_errors(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> int:
    """Estimate how many labels are wrong.

    A picture belongs to a class confidently if the probability of the class is at least as high as
    it is, on average, for the pictures with this label. The label of a picture counts as wrong if
    it belongs to a class confidently, but not to that of its label; among several classes, the most
    probable one decides.

    Args:
        probabilities: (n, classes), of heads that were not trained on the picture.
        labels: (n,) the class index of each picture.
    """
    count, classes = probabilities.shape
    own = probabilities[np.arange(count), labels]
    sizes = np.bincount(labels, minlength=classes)
    means = np.bincount(labels, own, minlength=classes) / np.maximum(sizes, 1)
    thresholds = np.where(sizes > 0, means, np.inf)
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    is_confident = confident.max(axis=1) >= 0
    return int((is_confident & (confident.argmax(axis=1) != labels)).sum())
