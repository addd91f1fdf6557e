"""Comparison of two models on the same pictures: accuracy, and the recall of each class."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

_Z95 = 1.959964  # normal quantile of a two-sided 95% interval
SIGNIFICANCE = 0.05
"""A difference is clear if chance alone would produce it with a probability below this."""

Verdict = Literal["better", "worse", "not distinguishable"]


@dataclass(frozen=True)
class PairedComparison:
    """The accuracies of two models on the same pictures, and how much they differ.

    Attributes:
        n: number of pictures.
        new, old: accuracies of the two models, 0 to 1.
        low, high: 95% confidence interval of the difference new - old.
        gained: number of pictures that only the new model classifies correctly.
        lost: number of pictures that only the old model classifies correctly.
    """

    n: int
    new: float
    old: float
    low: float
    high: float
    gained: int
    lost: int

    @property
    def p_value(self) -> float:
        """The probability of such a difference, or a larger one, by chance, 0 to 1.

        This is McNemar's exact test, two-sided: by chance, each picture that only one of the models
        classifies correctly is as likely gained as lost.
        """
        larger = max(self.gained, self.lost)
        return min(1.0, 2 * _p_at_least(larger, self.gained + self.lost - larger))

    @property
    def verdict(self) -> Verdict:
        """Whether the new model is clearly better or clearly worse than the old one."""
        if self.p_value >= SIGNIFICANCE:
            return "not distinguishable"
        return "better" if self.gained > self.lost else "worse"


@dataclass(frozen=True)
class ClassComparison:
    """The pictures of one class that two models classify correctly.

    Attributes:
        label: the class.
        n: number of its pictures.
        new, old: number of them that each model classifies correctly.
        p_loss, p_gain: probability of such a loss or gain by chance (McNemar's exact test,
            one-sided), after Holm's correction for the number of classes.
    """

    label: str
    n: int
    new: int
    old: int
    p_loss: float
    p_gain: float

    @property
    def is_clear_loss(self) -> bool:
        """Whether the new model clearly recognises fewer pictures of this class."""
        return self.p_loss < SIGNIFICANCE

    @property
    def is_clear_gain(self) -> bool:
        """Whether the new model clearly recognises more pictures of this class."""
        return self.p_gain < SIGNIFICANCE


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
    gained, lost = _count_changes(zip(new, old, strict=True))
    difference = (gained - lost) / (n + 2)
    width = _Z95 * math.sqrt((gained + lost + 1) / (n + 2) - difference**2) / math.sqrt(n + 2)
    low, high = difference - width, difference + width
    return PairedComparison(n, sum(new) / n, sum(old) / n, low, high, gained, lost)


def compare_classes(
    labels: Sequence[str], new: Sequence[bool], old: Sequence[bool]
) -> list[ClassComparison]:
    """Compare how many pictures of each class two models classify correctly.

    Args:
        labels: the true class of each picture.
        new, old: whether the model classifies each picture correctly; all in the same order.

    Returns:
        The classes that have pictures, by name.
    """
    pairs = defaultdict(list)
    for label, is_new, is_old in zip(labels, new, old, strict=True):
        pairs[label].append((is_new, is_old))
    counts = [_count_changes(pairs[label]) for label in sorted(pairs)]
    p_losses = holm([_p_at_least(lost, gained) for gained, lost in counts])
    p_gains = holm([_p_at_least(gained, lost) for gained, lost in counts])
    return [
        ClassComparison(
            label,
            n=len(pairs[label]),
            new=sum(is_new for is_new, _ in pairs[label]),
            old=sum(is_old for _, is_old in pairs[label]),
            p_loss=p_losses[index],
            p_gain=p_gains[index],
        )
        for index, label in enumerate(sorted(pairs))
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number of tests, in the same order (Holm 1979).

    If all tests whose corrected value is below 0.05 are called significant, the probability that at
    least one of them is so by chance is below 0.05.
    """
    corrected, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = largest
    return corrected


def _count_changes(pairs: Iterable[tuple[bool, bool]]) -> tuple[int, int]:
    """Count the pictures that only the new, and that only the old model classifies correctly."""
    counts = Counter(pairs)
    return counts[True, False], counts[False, True]


def _p_at_least(count: int, other: int) -> float:
    """Return the probability of at least `count` heads in `count + other` tosses of a coin."""
    from scipy.stats import binom

    return float(binom.sf(count - 1, count + other, 0.5))
