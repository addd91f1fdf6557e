"""A head: the layers behind the embedding, and how well they classify.

There are two kinds: logistic regression on standardised embeddings (heads.linear) and a small
hidden layer (heads.hidden). Both end as plain Keras layers behind the same standardisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from numpy.typing import NDArray

from trainers.evaluation.selection import ValidationResult, is_clearly_lower
from trainers.heads.examples import Examples

DROPOUT = 0.5
"""Share of the embedding that is left out in each training step, never in the exported model."""
HIDDEN_UNITS = 128
Row = dict[str, float | None]


@dataclass(frozen=True)
class Head:
    """A trained head.

    Attributes:
        model: embeddings (N, D) -> probabilities (N, classes).
        description: the kind, in words.
        validation: its answers to the validation pictures.
        history: what was tried on the way, a row each.
        cross_validation: the result of heads of this kind in cross-validation; None if there are
            enough validation pictures to select by.
    """

    model: keras.Model
    description: str
    validation: ValidationResult
    history: list[Row] = field(default_factory=list)
    cross_validation: ValidationResult | None = None

    @property
    def selection_result(self) -> ValidationResult:
        """The result that it is selected by: of cross-validation if there was any."""
        return self.cross_validation or self.validation

    def __str__(self) -> str:
        return f"{self.description} ({self.selection_result})"


def select_lowest_loss(heads: Sequence[Head]) -> Head:
    """Return the head with the lowest loss; the last one if nothing could be measured."""
    if not heads[-1].selection_result.is_known:
        return heads[-1]
    return min(heads, key=lambda head: head.selection_result.loss)


def prefer_linear(linear: Head, hidden: Head) -> Head:
    """Return the hidden layer if it makes fewer mistakes and its loss is clearly lower."""
    simple, other = linear.selection_result, hidden.selection_result
    is_better = other.accuracy > simple.accuracy and is_clearly_lower(other.losses, simple.losses)
    return hidden if is_better else linear


def fit_standardisation(
    embeddings: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return scale and offset (D,) that give embeddings (n, views, D) mean 0 and deviation 1."""
    rows = embeddings.reshape(-1, embeddings.shape[-1])
    mean = rows.mean(axis=0, dtype=np.float64)
    blocks = np.array_split(rows, 1 + len(rows) // 4096)  # no copy of all rows in float64
    variance = sum(np.square(block - mean).sum(axis=0) for block in blocks) / len(rows)
    deviation = np.sqrt(variance)
    scale = 1 / np.where(deviation > 0, deviation, 1)  # however tiny: random networks have such
    offset = -mean * scale
    return scale.astype(np.float32), offset.astype(np.float32)


def build_head(
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    classes: int,
    penalty: float = 0.0,
    hidden_units: int = 0,
) -> keras.Model:
    """Build (N, D) embeddings -> probabilities (N, classes), all classes equally probable at first.

    Args:
        scale, offset: (D,) of the standardisation, constants of the model.
        penalty: of the squared weights, for fine-tuning; logistic regression has 1 / (2 C n).
        hidden_units: 0 for a linear head.
    """
    layers = keras.layers
    embedding = keras.Input((len(scale),), name="embedding")
    values = layers.Dropout(DROPOUT)(layers.Rescaling(scale, offset, name="standardise")(embedding))
    if hidden_units:
        values = layers.Dense(hidden_units, "relu", name="hidden")(values)
        values = layers.Dropout(DROPOUT)(values)
    logits = layers.Dense(
        classes,
        kernel_initializer="zeros",
        kernel_regularizer=keras.regularizers.L2(penalty) if penalty else None,
        name="logits",
    )(values)
    return keras.Model(embedding, layers.Softmax(name="probabilities")(logits), name="head")


def validate(model: keras.Model, examples: Examples) -> ValidationResult:
    """Return the answers of a head to the validation pictures."""
    probabilities = np.asarray(model(examples.validation, training=False))
    return ValidationResult.from_probabilities(probabilities, examples.validation_labels)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.floating] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
