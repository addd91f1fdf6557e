"""The classifier: a backbone, the mean of its feature maps, and a head."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from plugins.base import Backbone
from plugins.copying import assign_weights


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

    def restore(self, weights: list[NDArray[Any]]) -> None:
        count = len(self.body.weights)
        assign_weights(self.body, weights[:count])
        assign_weights(self.head, weights[count:])


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
