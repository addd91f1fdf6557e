"""The classifier: a backbone, global average pooling of its feature maps, and a head."""

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
    """The network that is trained and exported. Its input is float32 RGB, 0 to 255.

    Attributes:
        backbone: the plugin, which freezes and unfreezes layers of `body`.
        body: the network of the backbone, (N, S, S, 3) -> feature maps (N, h, w, D).
        embedder: `body` with global average pooling, (N, S, S, 3) -> embeddings (N, D).
        head: embeddings (N, D) -> probabilities (N, classes).
        weights_sha256: the SHA-256 of the weights of `body` before training, for the manifest.
    """

    backbone: Backbone
    body: keras.Model
    embedder: keras.Model
    head: keras.Model
    weights_sha256: str

    def build_model(self) -> keras.Model:
        """Join the embedder and the head into one Keras model.

        Returns:
            A model (N, S, S, 3) -> {"probabilities": (N, classes), "embedding": (N, D)}.
        """
        embedding = self.embedder.output
        outputs = {"embedding": embedding, "probabilities": self.head(embedding)}
        return keras.Model(self.embedder.input, outputs, name="classifier")

    def divide_logits(self, temperature: float) -> None:
        """Divide the logits by a number, in the weights of the head's layer `logits`."""
        layer = self.head.get_layer("logits")
        weights = [weight / np.float32(temperature) for weight in layer.get_weights()]
        assign_weights(layer, weights)

    def get_weights(self) -> list[NDArray[Any]]:
        """Return the weights of the body, followed by those of the head."""
        return [*self.body.get_weights(), *self.head.get_weights()]

    def assign_weights(self, weights: list[NDArray[Any]]) -> None:
        """Assign weights in the order in which `get_weights` returns them."""
        count = len(self.body.weights)
        assign_weights(self.body, weights[:count])
        assign_weights(self.head, weights[count:])


def hash_weights(model: keras.Model) -> str:
    """Return the SHA-256 of all weights of a model, in order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def build_embedder(body: keras.Model) -> keras.Model:
    """Add global average pooling to a body: (N, S, S, 3) -> embeddings (N, D)."""
    pooled = keras.layers.GlobalAveragePooling2D(name="embedding")(body.output)
    return keras.Model(body.input, pooled, name="embedder")
