"""The backbone of a run. Its network and its weights are loaded when they are first needed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.base import Backbone
from service import imaging
from trainers import hardware
from trainers.cache import code_identity
from trainers.features import frozen_features
from trainers.features.frozen_layers import FrozenLayers
from trainers.model.classifier import build_embedder
from trainers.model.onnx_head import EMBEDDING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Network:
    """A backbone with its weights at one input size.

    Args:
        backbone: the backbone plugin.
        weights: the name of weights or the path of a weights file, as for `Backbone.load`.
        image_size: side of the square input in pixels.
        seed: seed of random weights (`weights="none"`); it has no effect on other weights.
    """

    backbone: Backbone
    weights: str
    image_size: int
    seed: int

    @cached_property
    def identity(self) -> str:
        """A hash of everything that determines the features of a picture, besides the picture.

        It covers the weights, the input size, the kind of device (each kind rounds differently),
        the code of the backbone, the decoder, the augmentation and the conversion, and the versions
        of the packages that this code uses. The hash is computed without loading the network.
        """
        makers = (__name__, frozen_features.__name__, imaging.__name__)
        code = code_identity.identity(*makers, type(self.backbone).__module__)
        parts = [self.backbone.name, str(self.image_size), self._weights_identity()]
        return hashlib.sha256(
            "\n".join([*parts, hardware.device_kind(), code]).encode()
        ).hexdigest()

    @cached_property
    def body(self) -> keras.Model:
        """The frozen backbone: (N, S, S, 3) float32 RGB 0..255 -> feature maps.

        If the weights are random, they depend only on the seed.
        """
        import keras

        keras.utils.set_random_seed(self.seed)
        body = self.backbone.load(self.weights, self.image_size)
        self.backbone.freeze(body)
        return body

    @cached_property
    def embedder(self) -> keras.Model:
        """The backbone with global average pooling: (N, S, S, 3) -> embeddings (N, D)."""
        return build_embedder(self.body)

    @cached_property
    def embedding_layers(self) -> FrozenLayers:
        """Computes embeddings. Its ONNX model is also the first part of the exported model."""
        return FrozenLayers(self.embedder, output=EMBEDDING)

    def _weights_identity(self) -> str:
        if self.weights == self.backbone.pretrained:  # which these are follows from the hashed code
            return self.weights
        if self.weights == "none":
            return f"random {self.seed}"
        path = Path(self.weights)
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file())
            return " ".join(f"{file.name} {_file_hash(file)}" for file in files)
        return _file_hash(path) if path.is_file() else "no file"


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
