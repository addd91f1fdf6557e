"""What balanced weights are worth where classes are uneven: their recalls with and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trainers.heads.examples import Examples
from trainers.heads.linear import solve_linear
from trainers.resources.time_budget import ENDLESS, Clock

UNEVEN = 2.0
"""Largest weight of a class to the smallest, from here on: what draws of the split alone do to
small classes stays below."""

Effect = list[dict[str, float | int | None]]


def is_uneven(class_weights: NDArray[np.float32]) -> bool:
    return bool(class_weights.max() > UNEVEN * class_weights.min())


def effect(examples: Examples, clock: Clock = ENDLESS) -> Effect:
    """Solve the linear head with weights and without, and compare class by class.

    Returns:
        A row per class, in their order: n, its pictures that judged, and its recall
        `with_weights` and `without_weights`; None for a class that was not judged.
    """
    judges = list(examples.judges)
    even = [replace(one, weights=np.ones_like(one.weights)) for one in judges]
    ways = [_recalls(one, examples.classes, clock) for one in (judges, even)]
    labels = _joined([one.validation_labels for one in judges])
    counts = np.bincount(labels, minlength=examples.classes).tolist()
    return [
        {"n": count, "with_weights": balanced, "without_weights": plain}
        for count, balanced, plain in zip(counts, *ways, strict=True)
    ]


def _recalls(judges: Sequence[Examples], classes: int, clock: Clock) -> list[float | None]:
    models = [solve_linear(one, clock).model for one in judges]
    answers = [
        model(one.validation, training=False) for model, one in zip(models, judges, strict=True)
    ]
    found = _joined([np.asarray(one).argmax(axis=1) for one in answers])
    labels = _joined([one.validation_labels for one in judges])
    masks = [labels == index for index in range(classes)]
    return [float((found[mask] == labels[mask]).mean()) if mask.any() else None for mask in masks]


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *parts])
