"""What frozen layers compute never changes: compute it once per picture and view, and keep it.

`cut` splits a model at the last point before anything trainable through which everything flows.
Fine-tuning then trains the second half, fed with the first half's outputs, several times faster
than running the whole network for every epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from queue import SimpleQueue
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from service.engine.predictor import open_session
from trainers import hardware
from trainers.cache.array_cache import Cache, Recipe
from trainers.cache.record_store import Records
from trainers.features.views import NUMBERS, view
from trainers.model.conversion import to_onnx
from trainers.model.graph import split
from trainers.progress import log
from trainers.resources.out_of_memory import Halving

MAX_CACHE_BYTES = 4 * 1024**3
"""Largest feature maps kept for fine-tuning; above, the frozen layers run again for each batch."""


AT_ONCE, IN_FLIGHT = 32, 2
"""Pictures in a call of a device, and calls at work on each device at a time."""

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


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
    keys = record_keys(pictures, views)

    def recipe() -> Recipe:
        run = layers()
        return Recipe(
            run.shape, np.float32, lambda positions: run(pictures.read(*pairs[positions].T))
        )

    records = cache.get_or_create(label, origin, keys, recipe)
    records.verify()  # here, because `fit` reads them in TensorFlow's threads, which wrap errors
    return Features(records, views)


def record_keys(pictures: Pictures, views: int) -> list[bytes]:
    """What the features of each picture and view are kept under, those of a picture together."""
    return [
        hashlib.sha256(key + bytes([number])).digest()
        for key in pictures.keys
        for number in pictures.numbers[:views]
    ]


class Layers:
    """Frozen layers on pictures, in the fastest way at hand.

    On a CPU that is ONNX Runtime, one picture and one thread a call: 1880 pictures a second with
    MobileNetV2 0.35 at 224 px on 2 cores, against 1340 in batches of 8 and TensorFlow's 458 in
    batches of 32. A picture by itself also gives the same bits whatever its neighbours are.
    On GPUs it is TensorFlow, on all of them at a time.

    Args:
        devices: TensorFlow's names of those to compute on; by default the GPUs in use.
    """

    def __init__(self, model: keras.Model, devices: Sequence[str] | None = None) -> None:
        self.shape = tuple(model.output_shape[1:])
        signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, "images")

        @tf.function(input_signature=[signature], autograph=False)
        def outputs(images: Any) -> Any:
            return model(tf.cast(images, tf.float32), training=False)

        names = hardware.gpus() if devices is None else list(devices)
        if names:
            self._run: Run = Halving(OnDevices(outputs, names), AT_ONCE, "extracting features")
            log.info("extracting on %d device(s), batches of at most %d", len(names), AT_ONCE)
        else:
            self._run = one_by_one(to_onnx(outputs, ("maps",)).SerializeToString())

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(M, S, S, 3) uint8 -> (M, *shape) float32; may be called by several threads.

        Raises:
            MemoryShortageError: one picture is too much for a device's memory.
        """
        return self._run(images)


class OnDevices:
    """A function on several devices, each with a copy of its weights, busy but not flooded.

    Callers are threads that read pictures. On each device IN_FLIGHT of their batches are at work,
    so that one is copied while one is computed; the other callers wait.
    """

    def __init__(self, function: Any, devices: Sequence[str]) -> None:
        # Weights become constants of the graph, and so lie on whichever device runs it.
        traced = function.get_concrete_function()
        self._run = convert_variables_to_constants_v2(traced, lower_control_flow=False)
        self._free: SimpleQueue[str] = SimpleQueue()
        for device in [*devices] * IN_FLIGHT:
            self._free.put(device)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        device = self._free.get()
        try:
            with tf.device(device):
                return np.asarray(self._run(tf.constant(images))[0])
        finally:
            self._free.put(device)


def one_by_one(content: bytes) -> Run:
    """An ONNX model by ONNX Runtime on the CPU, a picture and a thread a call."""
    session = open_session(content, threads=1, chosen=["CPUExecutionProvider"])

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
    frozen, trained = split(model)
    size_bytes = records * int(np.prod(frozen.output_shape[1:])) * np.float32().nbytes
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
