"""Compares the recall of imbalanced classes with and without class weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trainers.heads.examples import Examples
from trainers.heads.linear import fit_linear
from trainers.resources.time_budget import UNLIMITED, TimeBudget

IMBALANCE_RATIO = 2.0
"""Classes are imbalanced if the largest class weight is more than this many times the smallest.
A smaller ratio may be chance, because the random split changes the weights of small classes."""

ClassWeightEffect = list[dict[str, float | int | None]]


def is_imbalanced(class_weights: NDArray[np.float32]) -> bool:
    """Whether the largest class weight is more than IMBALANCE_RATIO times the smallest."""
    return bool(class_weights.max() > IMBALANCE_RATIO * class_weights.min())


def compare_recalls(examples: Examples, budget: TimeBudget = UNLIMITED) -> ClassWeightEffect:
    """Train the linear head with and without class weights, and compare the recall of each class.

    Returns:
        One dictionary per class, in the order of the classes. `n` is the number of validation
        pictures of the class; with cross-validation, this includes all folds. `with_weights` and
        `without_weights` are the recalls of the class, or None if it has no validation pictures.
    """
    weighted = list(examples.splits())
    unweighted = [replace(split, weights=np.ones_like(split.weights)) for split in weighted]
    labels = _concatenate([split.validation_labels for split in weighted])
    counts = np.bincount(labels, minlength=examples.classes).tolist()
    recalls = [_recalls(splits, examples.classes, budget) for splits in (weighted, unweighted)]
    return [
        {"n": count, "with_weights": with_weights, "without_weights": without_weights}
        for count, with_weights, without_weights in zip(counts, *recalls, strict=True)
    ]


def _recalls(splits: Sequence[Examples], classes: int, budget: TimeBudget) -> list[float | None]:
    models = [fit_linear(split, budget).model for split in splits]
    probabilities = [
        np.asarray(model(split.validation, training=False))
        for model, split in zip(models, splits, strict=True)
    ]
    predicted = _concatenate([rows.argmax(axis=1) for rows in probabilities])
    labels = _concatenate([split.validation_labels for split in splits])
    masks = [labels == index for index in range(classes)]
    return [
        float((predicted[mask] == labels[mask]).mean()) if mask.any() else None for mask in masks
    ]


def _concatenate(arrays: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *arrays])
