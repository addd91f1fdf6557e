"""The network that a run starts from: loaded when something has to be computed, and not before."""

from __future__ import annotations

import hashlib
import importlib
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from plugins.base import PRETRAINED, Backbone
from service.imaging import DECODER
from trainers import hardware
from trainers.features import Layers
from trainers.model import embedder
from trainers.views import VIEWS, ZOOM

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Network:
    """A backbone with its weights at one input size.

    Args:
        weights: as `Backbone.load` takes them.
        image_size: side of the square input in pixels.
        seed: of random weights, and of nothing else.
    """

    backbone: Backbone
    weights: str
    image_size: int
    seed: int

    @cached_property
    def identity(self) -> str:
        """What decides every output, hashed: weights, the plugin's source, versions, input size,
        decoder and views, and the kind of processor, whose rounding differs.

        Known without loading anything, so that kept embeddings are found within milliseconds.
        """
        parts = [self.backbone.name, str(self.image_size), self._weights_identity()]
        parts += [DECODER, f"{ZOOM} {VIEWS}", hardware.kind(), tf.__version__]
        parts += [f"{name} {version(name)}" for name in ("keras", "onnxruntime", "tf2onnx")]
        ours = sorted(Path(importlib.import_module("plugins").__path__[0]).glob("*.py"))
        theirs = getattr(sys.modules.get(type(self.backbone).__module__), "__file__", None)
        parts += [_file_hash(path) for path in (*ours, *([Path(theirs)] if theirs else []))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @cached_property
    def body(self) -> keras.Model:
        """(N, S, S, 3) float32 RGB 0..255 -> feature maps; the same random weights every time."""
        import keras

        keras.utils.set_random_seed(self.seed)
        body = self.backbone.load(self.weights, self.image_size)
        self.backbone.freeze(body)
        return body

    @cached_property
    def embedder(self) -> keras.Model:
        """(N, S, S, 3) -> (N, D): the mean of each feature map."""
        return embedder(self.body)

    @cached_property
    def embedding_layers(self) -> Layers:
        return Layers(self.embedder)

    def _weights_identity(self) -> str:
        if self.weights in PRETRAINED:  # which, is in the sources and in Keras' version
            return self.weights
        if self.weights == "none":
            return f"random {self.seed} {tf.__version__}"
        path = Path(self.weights)
        return _file_hash(path) if path.is_file() else "no file"


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
