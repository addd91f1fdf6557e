"""What frozen layers compute never changes: compute it once per picture and view, and keep it.

`cut` splits a model at the last point before anything trainable through which everything flows.
Fine-tuning then trains the second half, fed with the first half's outputs, several times faster
than running the whole network for every epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.predictor import open_session
from trainers.cache import Cache, Recipe
from trainers.conversion import to_onnx
from trainers.progress import log
from trainers.shelf import Records
from trainers.views import NUMBERS, view

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
    """Pictures (N, S, S, 3) uint8, each under its SHA-256; views are made when they are read.

    Attributes:
        decoded: gives them; may have to wait until they are decoded.
        numbers: of the views to learn from, as `views.view` takes them.
    """

    decoded: Callable[[], Records]
    keys: tuple[bytes, ...]
    numbers: tuple[int, ...] = NUMBERS["horizontal"]

    @property
    def views(self) -> int:
        return len(self.numbers)

    @cached_property
    def images(self) -> Records:
        return self.decoded()

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.uint8]:
        images = self.images[rows]
        for at, (row, number) in enumerate(zip(rows, views, strict=True)):
            images[at] = view(images[at], self.numbers[number], self.keys[row])
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
    layers: Callable[[], Layers],
    origin: str,
    pictures: Pictures,
    views: int,
    cache: Cache,
) -> Features:
    """Run views of pictures through frozen layers, as far as that has never been done before.

    Args:
        layers: gives them, ready to run; called when something is missing.
        origin: what decides their outputs, as `Network.identity` says.
    """
    pairs = np.array([(row, number) for row in range(len(pictures)) for number in range(views)])
    numbers = pictures.numbers
    keys = [hashlib.sha256(pictures.keys[row] + bytes([numbers[at]])).digest() for row, at in pairs]

    def recipe() -> Recipe:
        run = layers()
        return Recipe(
            run.shape, np.float32, lambda positions: run(pictures.read(*pairs[positions].T))
        )

    records = cache.fill(label, origin, keys, recipe)
    records.check()  # here, because `fit` reads them in TensorFlow's threads, which wrap errors
    return Features(records, views)


class Layers:
    """Frozen layers on pictures, in the fastest way at hand.

    On a CPU that is ONNX Runtime, one picture and one thread a call: 1880 pictures a second with
    MobileNetV2 0.35 at 224 px on 2 cores, against 1340 in batches of 8 and TensorFlow's 458 in
    batches of 32. A picture by itself also gives the same bits whatever its neighbours are.
    """

    def __init__(self, model: keras.Model) -> None:
        self.shape = tuple(model.output_shape[1:])
        signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, "images")

        @tf.function(input_signature=[signature], autograph=False)
        def outputs(images: Any) -> Any:
            return model(tf.cast(images, tf.float32), training=False)

        self._run = outputs
        self._session = None
        if not tf.config.list_physical_devices("GPU"):
            content = to_onnx(outputs, ("maps",)).SerializeToString()
            self._session = open_session(content, threads=1)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(M, S, S, 3) uint8 -> (M, *shape) float32; may be called by several threads."""
        if self._session is None:
            return np.asarray(self._run(images))
        return np.concatenate(
            [self._session.run(["maps"], {"images": image[np.newaxis]})[0] for image in images]
        )


def cut(model: keras.Model, records: int) -> tuple[keras.Model, keras.Model] | None:
    """Split into (frozen, trained) with `model(x) == trained(frozen(x))`.

    None where nothing worth keeping is frozen, or where the frozen layers' outputs for so many
    records would not fit MAX_CACHE_BYTES.
    """
    waist = _last_frozen_waist(model)
    frozen, trained = keras.Model(model.input, waist), keras.Model(waist, model.output)
    size_bytes = records * int(np.prod(waist.shape[1:])) * np.float32().nbytes
    if not frozen.weights:
        return None
    if size_bytes > MAX_CACHE_BYTES:
        log.info(
            "the feature maps to keep would take %.1f GB (at most %.1f): the whole network runs in "
            "every epoch, which is slower; fewer --fine-tune-layers mean smaller maps",
            *(size_bytes / 1e9, MAX_CACHE_BYTES / 1e9),
        )
        return None
    return frozen, trained


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
