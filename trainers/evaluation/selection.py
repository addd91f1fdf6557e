"""Which of two classifiers to take, by what both answered to the same pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float64]
Hits = NDArray[np.bool_]
"""Which pictures are answered right."""


@dataclass(frozen=True)
class Judgement:
    """What was measured on pictures that were not learned from.

    Attributes:
        losses: cross-entropies in nats, of each picture (m,); none where nothing could be measured.
        accuracy: 0 to 1.
        folds: of cross-validation; 0 where the validation pictures judged.
    """

    losses: Losses
    accuracy: float
    folds: int = 0

    @classmethod
    def of(cls, losses: Losses, hits: Hits, folds: int = 0) -> Judgement:
        return cls(losses, float(hits.mean()) if len(hits) else math.nan, folds)

    @property
    def is_known(self) -> bool:
        return len(self.losses) > 0

    @property
    def loss(self) -> float:
        return float(self.losses.mean()) if self.is_known else math.nan

    @property
    def mistakes(self) -> int:
        return round((1 - self.accuracy) * len(self.losses)) if self.is_known else 0

    @property
    def method(self) -> str:
        if not self.is_known:
            return "none"
        return "cross-validation" if self.folds else "validation"

    def __str__(self) -> str:
        if not self.is_known:
            return "not validated: no class has two pictures to learn from"
        figures = f"loss {self.loss:.4f}, accuracy {self.accuracy:.4f}"
        if self.folds:
            return f"cross-validated {figures}, on {len(self.losses)} pictures"
        return f"validation {figures}"

    def record(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            "method": self.method,
            "folds": self.folds,
            "n": len(self.losses),
            "loss": self.loss if self.is_known else None,
            "accuracy": self.accuracy if self.is_known else None,
        }


class Judged(Protocol):
    """A classifier that answered to pictures. Losses (m,) of the same ones, in the same order."""

    @property
    def losses(self) -> Losses: ...

    @property
    def accuracy(self) -> float: ...


def cross_entropies(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Losses:
    """In nats, of each picture (m,), of probabilities (m, classes)."""
    true = np.clip(probabilities[np.arange(len(labels)), labels].astype(np.float64), 1e-7, 1)
    losses: Losses = -np.log(true)
    return losses


def is_clearly_lower(losses: Losses, others: Losses) -> bool:
    """Whether losses (m,) are below others on the same pictures by more than a standard error of
    the mean difference; never where they are no numbers."""
    gains = others - losses
    return bool(len(gains)) and bool(gains.mean() > gains.std() / np.sqrt(len(gains)))


def is_no_worse(new: Judged, old: Judged) -> bool:
    """Whether a classifier that cost more training may take the place of the simpler one.

    Of two classifiers that answered to the same pictures, the one that is right more often is the
    better bet, however few they are, and the loss decides between equals. Besides, the new one's
    loss must not be clearly higher (a standard error of the paired differences): then it is sure of
    its mistakes. Without pictures, or with losses that are no numbers, the old one stays.
    """
    if not len(new.losses) or not np.isfinite(new.losses).all():
        return False
    is_better = (new.accuracy, -new.losses.mean()) >= (old.accuracy, -old.losses.mean())
    return bool(is_better) and not is_clearly_lower(old.losses, new.losses)
