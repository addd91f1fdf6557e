"""What frozen layers compute never changes: compute it once per picture and view, and keep it.

`cut` splits a model at the last point before anything trainable through which everything flows.
Fine-tuning then trains the second half, fed with the first half's outputs, several times faster
than running the whole network for every epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.predictor import open_session
from trainers.cache import Cache, Recipe
from trainers.conversion import to_onnx
from trainers.shelf import Records
from trainers.views import VIEWS, view

MAX_CACHE_BYTES = 4 * 1024**3
"""Largest feature maps kept for fine-tuning; above, the frozen layers run again for each batch."""


class Source(Protocol):
    """Inputs of a model being trained, by row and view."""

    @property
    def views(self) -> int: ...

    def __len__(self) -> int: ...

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[Any]:
        """Inputs (M, ...) for rows (M,) and views (M,)."""
        ...


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures (N, S, S, 3) uint8, each under its SHA-256; views are made when read."""

    images: Records
    keys: tuple[bytes, ...]
    views: int = VIEWS

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.uint8]:
        images = self.images[rows]
        for at, (row, number) in enumerate(zip(rows, views, strict=True)):
            images[at] = view(images[at], int(number), self.keys[row])
        return images


@dataclass(frozen=True)
class Features:
    """Outputs of frozen layers: a record per picture and view, those of a picture together."""

    records: Records
    views: int

    def __len__(self) -> int:
        return len(self.records) // self.views

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.records[rows * self.views + views]

    def all(self) -> NDArray[np.float32]:
        """(N, views, ...)."""
        return self.records[:].reshape(len(self), self.views, *self.records.shape[1:])


def extract(
    label: str,
    layers: Callable[[], keras.Model],
    origin: str,
    pictures: Pictures,
    views: int,
    cache: Cache,
) -> Features:
    """Run views of pictures through frozen layers, as far as that has never been done before.

    Args:
        layers: gives the layers, (N, S, S, 3) -> (N, ...); called when something is missing.
        origin: what decides their outputs, as `Network.identity` says.
    """
    pairs = np.array([(row, number) for row in range(len(pictures)) for number in range(views)])
    keys = [hashlib.sha256(pictures.keys[row] + bytes([number])).digest() for row, number in pairs]

    def recipe() -> Recipe:
        model = layers()
        run = runner(model)
        return Recipe(
            tuple(model.output_shape[1:]),
            np.float32,
            lambda positions: run(pictures.read(*pairs[positions].T)),
        )

    return Features(cache.fill(label, origin, keys, recipe), views)


def runner(layers: keras.Model) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The fastest way at hand to run frozen layers on pictures (M, S, S, 3) uint8.

    On a CPU that is ONNX Runtime, one picture and one thread a call: 1880 pictures a second with
    MobileNetV2 0.35 at 224 px on 2 cores, against 1340 in batches of 8 and TensorFlow's 458 in
    batches of 32. A picture by itself also gives the same bits whatever its neighbours are.
    """
    if tf.config.list_physical_devices("GPU"):
        return in_inference(layers)

    @tf.function(
        input_signature=[tf.TensorSpec((None, *layers.input_shape[1:]), tf.uint8, "images")],
        autograph=False,
    )
    def outputs(images: Any) -> Any:
        return layers(tf.cast(images, tf.float32), training=False)

    session = open_session(to_onnx(outputs, ("maps",)).SerializeToString(), threads=1)

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate(
            [session.run(["maps"], {"images": image[np.newaxis]})[0] for image in images]
        )

    return run


def cut(model: keras.Model, records: int) -> tuple[keras.Model, keras.Model] | None:
    """Split into (frozen, trained) with `model(x) == trained(frozen(x))`.

    None where nothing worth keeping is frozen, or where the frozen layers' outputs for so many
    records would not fit MAX_CACHE_BYTES.
    """
    waist = _last_frozen_waist(model)
    frozen, trained = keras.Model(model.input, waist), keras.Model(waist, model.output)
    size_bytes = records * int(np.prod(waist.shape[1:])) * np.float32().nbytes
    return (frozen, trained) if frozen.weights and size_bytes <= MAX_CACHE_BYTES else None


def in_inference(model: keras.Model) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """A fast function of a batch of any number type, with training=False."""
    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

    @tf.function(input_signature=[signature], autograph=False)
    def run(batch: Any) -> Any:
        return model(batch, training=False)

    def call(batch: NDArray[Any]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = run(batch.astype(np.float32)).numpy()
        return output

    return call


def _last_frozen_waist(model: keras.Model) -> Any:
    """The last tensor before all trainable layers that alone carries everything behind it."""
    by_depth = model._nodes_by_depth  # Keras has no public door to its graph
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    last_use = {id(tensor): at for at, node in enumerate(nodes) for tensor in node.input_tensors}
    waist, reach = model.input, 0
    for at, node in enumerate(nodes):
        if getattr(node.operation, "trainable_weights", ()):
            break
        if reach <= at and len(node.output_tensors) == 1:  # nothing earlier is used later
            waist = node.output_tensors[0]
        reach = max(reach, *(last_use.get(id(tensor), 0) for tensor in node.output_tensors))
    return waist
