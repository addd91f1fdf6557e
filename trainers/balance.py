"""What balanced weights are worth where classes are uneven: their recalls with and without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trainers import head
from trainers.clock import ENDLESS, Clock
from trainers.head import Examples

UNEVEN = 2.0
"""Largest weight of a class to the smallest, from here on: what draws of the split alone do to
small classes stays below."""

Effect = list[dict[str, float | int | None]]


def is_uneven(class_weights: NDArray[np.float32]) -> bool:
    return bool(class_weights.max() > UNEVEN * class_weights.min())


def effect(examples: Examples, clock: Clock = ENDLESS) -> Effect:
    """Solve the linear head with weights and without, and compare class by class.

    Returns:
        A row per class, in their order: n, its pictures in validation, and its recall
        `with_weights` and `without_weights`; None for a class that validation lacks.
    """
    even = replace(examples, weights=np.ones_like(examples.weights))
    ways = [_recalls(examples, clock), _recalls(even, clock)]
    counts = np.bincount(examples.validation_labels, minlength=examples.classes).tolist()
    return [
        {"n": count, "with_weights": balanced, "without_weights": plain}
        for count, balanced, plain in zip(counts, *ways, strict=True)
    ]


def _recalls(examples: Examples, clock: Clock) -> list[float | None]:
    model = head.solve_linear(examples, clock).model
    found = np.asarray(model(examples.validation, training=False)).argmax(axis=1)
    labels = examples.validation_labels
    masks = [labels == index for index in range(examples.classes)]
    return [float((found[mask] == labels[mask]).mean()) if mask.any() else None for mask in masks]
