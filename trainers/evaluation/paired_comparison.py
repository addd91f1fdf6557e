"""Comparison of the accuracies of two models on the same pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_Z95 = 1.959964  # normal quantile of a two-sided 95% interval


@dataclass(frozen=True)
class PairedComparison:
    """The accuracies of two models on the same pictures, and how much they differ.

    Attributes:
        n: number of pictures.
        new, old: accuracies of the two models, 0 to 1.
        low, high: 95% confidence interval of the difference new - old.
    """

    n: int
    new: float
    old: float
    low: float
    high: float

    @property
    def is_at_least_as_accurate(self) -> bool:
        """Whether the new model classifies at least as many pictures correctly as the old one."""
        return self.new >= self.old


def compare_answers(new: Sequence[bool], old: Sequence[bool]) -> PairedComparison:
    """Compare the accuracies of two models on the same pictures.

    The confidence interval is that of Agresti and Min (2005) for matched pairs. They count the
    pictures in a 2x2 table (new model right or wrong, old model right or wrong), and add 0.5 to
    each count. So the width of the interval is not 0 even if both models classify the same pictures
    correctly.

    Args:
        new, old: whether the model classifies each picture correctly; both in the same order.
    """
    n = len(new)
    gained = sum(is_new and not is_old for is_new, is_old in zip(new, old, strict=True))
    lost = sum(is_old and not is_new for is_new, is_old in zip(new, old, strict=True))
    difference = (gained - lost) / (n + 2)
    width = _Z95 * math.sqrt((gained + lost + 1) / (n + 2) - difference**2) / math.sqrt(n + 2)
    return PairedComparison(n, sum(new) / n, sum(old) / n, difference - width, difference + width)
