"""The head of a classifier: the layers that scale embeddings and classify them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import keras
import numpy as np
from numpy.typing import NDArray

from trainers.evaluation.predictions import Predictions
from trainers.evaluation.selection import ValidationResult
from trainers.heads.examples import Examples

DROPOUT = 0.5
"""Dropout rate in training. The exported model has no dropout."""
HistoryRow = dict[str, float | None]
"""The figures of one value of C, the inverse regularisation strength, by name."""


@dataclass(frozen=True)
class Head:
    """A trained head: logistic regression on the embeddings of the backbone.

    Attributes:
        model: embeddings (N, D) -> probabilities (N, classes).
        validation: the result of the head on the validation pictures.
        strength: the value of C, the inverse regularisation strength.
        views: number of views of each picture that the head was trained on.
        held_out: the predictions of cross-validation for the training and validation pictures, to
            calibrate a head that is trained on all of them; None if there is no such head.
        history: one row per value of C that was tried.
        cross_validation: the result of such heads in cross-validation; None if there are enough
            validation pictures to select a head without cross-validation.
        reason: why this head was preferred to others; "" if no other head was trained.
    """

    model: keras.Model
    validation: ValidationResult
    strength: float
    views: int
    history: list[HistoryRow] = field(default_factory=list)
    cross_validation: ValidationResult | None = None
    held_out: Predictions | None = None
    reason: str = ""

    @property
    def pictures(self) -> str:
        """What the head was trained on, such as "4 views of each picture"."""
        return f"{f'{self.views} views' if self.views > 1 else 'one view'} of each picture"

    @property
    def details(self) -> str:
        """How the head was trained, such as "C = 0.01, 4 views of each picture"."""
        return f"C = {self.strength:g}, {self.pictures}"

    @property
    def description(self) -> str:
        """The kind of head, with the details in parentheses."""
        return f"linear head ({self.details})"

    @property
    def figures(self) -> str:
        """The details and the selection result, as text for the log and the report."""
        return f"{self.details}; {self.selection_result}"

    @property
    def selection_result(self) -> ValidationResult:
        """The result to compare heads by: `cross_validation`, or `validation` if that is None."""
        return self.cross_validation or self.validation

    def __str__(self) -> str:
        return f"linear head ({self.figures})"


def select_lowest_loss(heads: Sequence[Head]) -> Head:
    """Return the head with the lowest loss, or the last head if no loss could be measured."""
    if not heads[-1].selection_result.is_known:
        return heads[-1]
    return min(heads, key=lambda head: head.selection_result.loss)


def fit_scaling(
    embeddings: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the scale (D,) and the offset (D,) of Pareto scaling for embeddings (n, views, D).

    In `embeddings * scale + offset`, each feature has mean 0, and the variances of all features
    have a mean of 1. Each feature was divided by the square root of its standard deviation. After a
    division by the deviation itself, features that hardly vary would count as much as others, and a
    head that is trained on few pictures would learn their noise. A constant feature becomes 0.
    Source: van den Berg et al. 2006, https://doi.org/10.1186/1471-2164-7-142.
    """
    rows = embeddings.reshape(-1, embeddings.shape[-1])
    mean = rows.mean(axis=0, dtype=np.float64)
    blocks = np.array_split(rows, 1 + len(rows) // 4096)  # avoids a float64 copy of all rows
    variance = sum(np.square(block - mean).sum(axis=0) for block in blocks) / len(rows)
    deviation = np.sqrt(variance)
    # No lower limit except 0: the deviations are tiny if the weights of the backbone are random.
    scale = 1 / np.sqrt(np.where(deviation > 0, deviation * deviation.mean(), 1))
    offset = -mean * scale
    return scale.astype(np.float32), offset.astype(np.float32)


def build_head(
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    classes: int,
    penalty: float = 0.0,
    activation: Literal["softmax", "sigmoid"] = "softmax",
) -> keras.Model:
    """Build a head: embeddings (N, D) -> probabilities (N, classes).

    Before training, the head gives all classes the same probability.

    Args:
        scale, offset: (D,) the scaling. The model contains them as constants.
        classes: number of classes.
        penalty: factor of the L2 regularisation in fine-tuning. The factor 1 / (2 C n) has the
            same effect as the inverse regularisation strength C of logistic regression on n
            pictures.
        activation: what makes probabilities of the logits: with softmax they sum to 1, with sigmoid
            each class has a probability of its own.
    """
    layers = keras.layers
    embedding = keras.Input((len(scale),), name="embedding")
    values = layers.Dropout(DROPOUT)(layers.Rescaling(scale, offset, name="scaling")(embedding))
    logits = layers.Dense(
        classes,
        kernel_initializer="zeros",
        kernel_regularizer=keras.regularizers.L2(penalty) if penalty else None,
        name="logits",
    )(values)
    output = layers.Softmax if activation == "softmax" else partial(layers.Activation, "sigmoid")
    return keras.Model(embedding, output(name="probabilities")(logits), name="head")


def validate(model: keras.Model, examples: Examples) -> ValidationResult:
    """Return the result of a head on the validation pictures."""
    probabilities = np.asarray(model(examples.validation, training=False))
    return ValidationResult.from_probabilities(probabilities, examples.validation_labels)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.floating] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
