"""Selection of the better of two classifiers, by their results on the same validation pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float64]
Hits = NDArray[np.bool_]
"""Whether each picture is classified correctly."""


@dataclass(frozen=True)
class ValidationResult:
    """The result of a classifier on the m pictures that it was validated on.

    Attributes:
        losses: (m,) cross-entropy of each picture in nats; empty if there were no pictures.
        hits: (m,) whether each picture is classified correctly.
        folds: number of folds that were held out in turn; 0 without cross-validation.
    """

    losses: Losses
    hits: Hits
    folds: int = 0

    @classmethod
    def from_probabilities(
        cls, probabilities: NDArray[np.floating], labels: NDArray[np.int64]
    ) -> ValidationResult:
        """Compute the result from probabilities (m, classes) and true classes `labels` (m,)."""
        return cls(cross_entropies(probabilities, labels), probabilities.argmax(axis=1) == labels)

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
        figures = f"loss {self.loss:.4f}, accuracy {self.accuracy:.4f}"
        if self.folds:
            return f"cross-validated {figures}, on {len(self.losses)} pictures"
        return f"validation {figures}"

    def record(self) -> dict[str, Any]:
        """Return the result as it is written to metrics.json."""
        return {
            "method": self.method,
            "folds": self.folds,
            "n": len(self.losses),
            "loss": self.loss if self.is_known else None,
            "accuracy": self.accuracy if self.is_known else None,
        }


def cross_entropies(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Losses:
    """Return the cross-entropy (m,) of each picture in nats, from probabilities (m, classes).

    A probability below 1e-7 counts as 1e-7.
    """
    true = np.clip(probabilities[np.arange(len(labels)), labels].astype(np.float64), 1e-7, 1)
    losses: Losses = -np.log(true)
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

    On the same pictures, the new classifier must be at least as accurate as the old one. If both
    are equally accurate, the mean loss of the new classifier must not be higher. If the new
    classifier is more accurate, its mean loss may be higher, but not clearly higher (see
    `is_clearly_lower`), because that would show that it is too sure of its mistakes. If there are
    no pictures, or a loss of the new classifier is not finite, the result is False.
    """
    if not len(new.losses) or not np.isfinite(new.losses).all():
        return False
    is_better = (new.accuracy, -new.losses.mean()) >= (old.accuracy, -old.losses.mean())
    return bool(is_better) and not is_clearly_lower(old.losses, new.losses)
