"""Selection of the better of two classifiers, by their results on the same validation pictures.

The true labels of m pictures are arrays as in scikit-learn: (m,) int64 class indexes of
single-label pictures, or (m, labels) bool of multi-label pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.evaluation.average_precision import mean_average_precision

Losses = NDArray[np.float64]
Hits = NDArray[np.bool_]
"""Whether each picture is classified correctly."""
Truth = NDArray[np.int64] | NDArray[np.bool_]


@dataclass(frozen=True)
class ValidationResult:
    """The result of a classifier on the m pictures that it was validated on.

    Attributes:
        losses: (m,) cross-entropy of each picture in nats; empty if there were no pictures.
        hits: (m,) whether each picture is classified correctly. With several labels: whether each
            label has a probability above 0.5 if the picture has it, and at most 0.5 if not.
        folds: number of folds that were held out in turn; 0 without cross-validation.
        mean_average_precision: of the labels, 0 to 1; None if each picture has one class, or if no
            picture has a label.
    """

    losses: Losses
    hits: Hits
    folds: int = 0
    mean_average_precision: float | None = None

    @classmethod
    def from_probabilities(
        cls, probabilities: NDArray[np.floating], truth: Truth, folds: int = 0
    ) -> ValidationResult:
        """Compute the result from probabilities (m, classes) and the true labels."""
        losses = cross_entropies(probabilities, truth)
        if truth.ndim == 1:
            return cls(losses, probabilities.argmax(axis=1) == truth, folds)
        has_label = truth.astype(np.bool_)
        hits = ((probabilities > 0.5) == has_label).all(axis=1)
        return cls(losses, hits, folds, mean_average_precision(probabilities, has_label))

    @classmethod
    def from_folds(cls, results: Sequence[ValidationResult]) -> ValidationResult:
        """Join the results of all folds into the result of the cross-validation."""
        return cls(
            np.concatenate([np.zeros(0), *(result.losses for result in results)]),
            np.concatenate([np.zeros(0, np.bool_), *(result.hits for result in results)]),
            len(results),
        )

    @property
    def is_known(self) -> bool:
        """Whether there were any pictures to validate on."""
        return len(self.losses) > 0

    @property
    def accuracy(self) -> float:
        """The share of pictures that are classified correctly, 0 to 1; NaN if unknown."""
        return float(self.hits.mean()) if self.is_known else math.nan

    @property
    def score(self) -> float:
        """The metric that `should_replace` compares: mean average precision or accuracy, 0 to 1."""
        precision = self.mean_average_precision
        return self.accuracy if precision is None else precision

    @property
    def score_name(self) -> str:
        """What `score` is: "accuracy" or "mean average precision"."""
        return "accuracy" if self.mean_average_precision is None else "mean average precision"

    @property
    def loss(self) -> float:
        """The mean cross-entropy in nats; NaN if unknown."""
        return float(self.losses.mean()) if self.is_known else math.nan

    @property
    def mistakes(self) -> int:
        """The number of pictures that are classified wrongly."""
        return int((~self.hits).sum())

    @property
    def method(self) -> str:
        """How the result was measured: "validation", "cross-validation" or "none"."""
        if not self.is_known:
            return "none"
        return "cross-validation" if self.folds else "validation"

    def __str__(self) -> str:
        if not self.is_known:
            return "not validated, because no class has two different training pictures"
        figures = f"loss {self.loss:.4f}, {self.score_name} {self.score:.4f}"
        if self.folds:
            return f"cross-validated {figures}, on {len(self.losses)} pictures"
        return f"validation {figures}"

    def record(self) -> dict[str, Any]:
        """Return the result as it is written to metrics.json."""
        record = {
            "method": self.method,
            "folds": self.folds,
            "n": len(self.losses),
            "loss": self.loss if self.is_known else None,
            "accuracy": self.accuracy if self.is_known else None,
        }
        precision = self.mean_average_precision
        return record if precision is None else {**record, "mean_average_precision": precision}


def cross_entropies(probabilities: NDArray[np.floating], truth: Truth) -> Losses:
    """Return the cross-entropy (m,) of each picture in nats, from probabilities (m, classes).

    With several labels, it is the mean of their binary cross-entropies. A probability below 1e-7
    counts as 1e-7.
    """
    if truth.ndim == 1:
        of_truth = probabilities[np.arange(len(truth)), truth.astype(np.int64)][:, np.newaxis]
    else:
        of_truth = np.where(truth, probabilities, 1 - probabilities)
    losses: Losses = -np.log(np.clip(of_truth.astype(np.float64), 1e-7, 1)).mean(axis=1)
    return losses


def is_clearly_lower(losses: Losses, others: Losses) -> bool:
    """Whether the mean of `losses` (m,) is lower than that of `others` (m,) by more than chance.

    Both arrays are for the same pictures. "More than chance" means that the mean of the differences
    is larger than its standard error. If a loss is NaN, or there are no pictures, the result is
    False.
    """
    gains = others - losses
    return bool(len(gains)) and bool(gains.mean() > gains.std() / np.sqrt(len(gains)))


def should_replace(new: ValidationResult, old: ValidationResult) -> bool:
    """Whether a classifier with more training should replace a simpler one.

    On the same pictures, the score of the new classifier (accuracy, or mean average precision if
    pictures have several labels) must be at least that of the old one. If both are equal, the mean
    loss of the new classifier must not be higher. If the new score is higher, the mean loss may be
    higher, but not clearly higher (see `is_clearly_lower`), because that would show that the new
    classifier is too sure of its mistakes. If there are no pictures, or a loss of the new
    classifier is not finite, the result is False.
    """
    if not len(new.losses) or not np.isfinite(new.losses).all():
        return False
    is_better = (new.score, -new.losses.mean()) >= (old.score, -old.losses.mean())
    return bool(is_better) and not is_clearly_lower(old.losses, new.losses)


def explain_choice(new: ValidationResult, old: ValidationResult) -> str:
    """Say why `should_replace` prefers the fine-tuned network (`new`), or the linear head."""
    is_replaced = should_replace(new, old)
    if new.score != old.score and is_replaced == (new.score > old.score):
        if new.mean_average_precision is None:
            return (
                f"fine-tuning {'reduced' if is_replaced else 'raised'} the number of misclassified "
                f"validation pictures from {old.mistakes} to {new.mistakes} of {len(new.losses)}"
            )
        return (
            f"fine-tuning {'raised' if is_replaced else 'reduced'} the {new.score_name} of the "
            f"{len(new.losses)} validation pictures from {old.score:.4f} to {new.score:.4f}"
        )
    if is_replaced:
        return "it is as accurate as the linear head, and its validation loss is not higher"
    return "fine-tuning raised the validation loss"
