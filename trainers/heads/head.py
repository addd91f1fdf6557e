"""The head, solved on what the frozen backbone makes of the pictures, in seconds.

Two kinds are tried: logistic regression on standardised embeddings (heads.linear) and a small
hidden layer (heads.hidden). Both end as plain Keras layers behind the same standardisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from numpy.typing import NDArray

from trainers.evaluation.selection import (
    Hits,
    Losses,
    ValidationResult,
    cross_entropies,
    is_clearly_lower,
)
from trainers.heads.examples import Examples

DROPOUT = 0.5
"""Share of the embedding that is left out at each training step (never in what is exported)."""
HIDDEN_UNITS = 128
Row = dict[str, float | None]


@dataclass(frozen=True)
class Head:
    """A solved head. Losses are cross-entropies in nats, of each validation picture (m,).

    Attributes:
        model: (N, D) embeddings -> probabilities (N, classes).
        description: what kind, in words.
        hits: which of these pictures it answers right (m,).
        history: what was tried on the way, a row each.
        cross_validated: where the validation pictures are too few to choose by, what heads like
            this one answered to pictures that they had not learned from.
    """

    model: keras.Model
    description: str
    losses: Losses
    hits: Hits
    history: list[Row] = field(default_factory=list)
    cross_validated: ValidationResult | None = None

    @property
    def accuracy(self) -> float:
        return float(self.hits.mean())

    @property
    def judgement(self) -> ValidationResult:
        """What it is chosen by."""
        return self.cross_validated or ValidationResult.from_answers(self.losses, self.hits)

    @property
    def loss(self) -> float:
        """The mean that it is chosen by."""
        return self.judgement.loss

    def __str__(self) -> str:
        return f"{self.description} ({self.judgement})"


def lowest(heads: Sequence[Head]) -> Head:
    """The one with the lowest loss; the last one, on most views, where nothing could judge."""
    return min(heads, key=lambda one: one.loss) if heads[-1].judgement.is_known else heads[-1]


def better(simple: Head, other: Head) -> Head:
    """The other only where its loss is clearly lower and it makes fewer mistakes, too: on 8 splits
    of the real data sets the hidden layer had about the same loss, and on their test pictures 0.8
    points less."""
    one, two = simple.judgement, other.judgement
    return (
        other
        if two.accuracy > one.accuracy and is_clearly_lower(two.losses, one.losses)
        else simple
    )


def standardisation(
    embeddings: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """scale and offset (D,) that give embeddings (n, views, D) mean 0 and deviation 1."""
    rows = embeddings.reshape(-1, embeddings.shape[-1])
    mean = rows.mean(axis=0, dtype=np.float64)
    blocks = np.array_split(rows, 1 + len(rows) // 4096)  # without a copy of all in float64
    variance = sum(np.square(block - mean).sum(axis=0) for block in blocks) / len(rows)
    deviation = np.sqrt(variance)
    scale = 1 / np.where(deviation > 0, deviation, 1)  # float32's whole range: random networks
    offset = -mean * scale  # give tiny embeddings
    return scale.astype(np.float32), offset.astype(np.float32)


def build(
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    classes: int,
    penalty: float = 0.0,
    hidden_units: int = 0,
) -> keras.Model:
    """(N, D) embeddings -> probabilities (N, classes), all classes equally probable at first.

    Args:
        scale, offset: (D,) of the standardisation, constants of the model.
        penalty: of the squared weights, for fine-tuning: 1 / (2 C n) is logistic regression's.
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


def judge(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> tuple[Losses, Hits]:
    """Cross-entropy of each picture (m,), and whether its answer is right (m,)."""
    return cross_entropies(probabilities, labels), probabilities.argmax(axis=1) == labels


def judge_model(model: keras.Model, examples: Examples) -> tuple[Losses, Hits]:
    """Losses and hits (m,) of the validation pictures."""
    answers = np.asarray(model(examples.validation, training=False))
    return judge(answers, examples.validation_labels)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.floating] = powers / powers.sum(axis=1, keepdims=True)
    return shares
