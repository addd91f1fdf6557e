"""The classifier: backbone, pooling, and a head that starts from the pictures' own statistics."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from plugins.base import Backbone

INVERSE_REGULARISATION = 0.01
"""`C` of logistic regression: the best of a row of powers of ten on frozen features of both real
data sets that the project was measured on (CONTRIBUTING, Decisions)."""

DROPOUT = 0.5
"""Share of the embedding that is left out at each training step (never in what is exported)."""


@dataclass(frozen=True)
class Classifier:
    """What training works on and export ships. All inputs are float32 RGB in 0..255.

    Attributes:
        backbone: the plugin, which knows how to freeze and thaw `body`.
        body: (N, S, S, 3) -> feature maps (N, h, w, D).
        embedder: (N, S, S, 3) -> embedding (N, D), the mean of each feature map.
        head: (N, D) -> probabilities (N, classes).
        weights_sha256: hash of the backbone's weights before training, for the record.
    """

    backbone: Backbone
    body: keras.Model
    embedder: keras.Model
    head: keras.Model
    weights_sha256: str

    def outputs(self) -> keras.Model:
        """(N, S, S, 3) -> {"probabilities": (N, classes), "embedding": (N, D)}."""
        embedding = self.embedder.output
        outputs = {"embedding": embedding, "probabilities": self.head(embedding)}
        return keras.Model(self.embedder.input, outputs, name="classifier")

    def weights(self) -> list[NDArray[Any]]:
        return [*self.body.get_weights(), *self.head.get_weights()]

    def set_weights(self, weights: list[NDArray[Any]]) -> None:
        count = len(self.body.weights)
        self.body.set_weights(weights[:count])
        self.head.set_weights(weights[count:])


def weights_hash(model: keras.Model) -> str:
    """SHA-256 over all weights in order: the same for the same network from any kind of file."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def embedder(body: keras.Model) -> keras.Model:
    """(N, S, S, 3) -> (N, D): the mean of each feature map."""
    pooled = keras.layers.GlobalAveragePooling2D(name="embedding")(body.output)
    return keras.Model(body.input, pooled, name="embedder")


def linear_head(embeddings: NDArray[np.float32], classes: int, pictures: int) -> keras.Model:
    """Logistic regression on standardised embeddings, untrained: all classes equally probable.

    Args:
        embeddings: (M, D) of the training pictures; their mean and deviation become constants.
        classes: number of classes.
        pictures: number of training pictures (M counts every view of each), which sets the
            strength of the L2 penalty as scikit-learn's `C` does: 1 / (2 C n), here over views.
    """
    views = len(embeddings) // pictures
    strength = 0.5 / (INVERSE_REGULARISATION * pictures * views)
    embedding = keras.Input((embeddings.shape[1],), name="embedding")
    deviation = embeddings.std(axis=0, dtype=np.float64)
    scale = 1 / np.where(deviation > 0, deviation, 1)  # float32's whole range: random networks
    offset = -embeddings.mean(axis=0, dtype=np.float64) * scale  # give very small embeddings
    standardised = keras.layers.Rescaling(
        scale.astype(np.float32), offset.astype(np.float32), name="standardise"
    )(embedding)
    logits = keras.layers.Dense(
        classes,
        kernel_initializer="zeros",
        kernel_regularizer=keras.regularizers.L2(strength),
        name="logits",
    )(keras.layers.Dropout(DROPOUT)(standardised))
    return keras.Model(embedding, keras.layers.Softmax(name="probabilities")(logits), name="head")
