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
from numpy.typing import NDArray

from trainers.cache.array_cache import Cache, Recipe
from trainers.cache.record_store import Records
from trainers.features.frozen_layers import FeatureExtractor
from trainers.features.views import NUMBERS, view
from trainers.model.graph import split
from trainers.progress import log

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
    layers: Callable[[], FeatureExtractor],
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
