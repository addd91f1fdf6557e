"""The outputs of frozen layers, computed once per picture and view, and kept in the cache.

`split_off_frozen` splits a model before its first trainable layer. Fine-tuning then trains the
second part on the outputs of the first, several times faster than running the whole network in
every epoch.
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
from trainers.features.views import TRAINING_VIEWS, make_view
from trainers.model.graph import split_at_trainable
from trainers.progress import log

MAX_FEATURE_MAP_BYTES = 4 * 1024**3
"""Largest feature maps kept for fine-tuning; above, the frozen layers run in every epoch."""


class ModelInputs(Protocol):
    """The inputs of a model that is trained, by row and view."""

    @property
    def views(self) -> int: ...

    def __len__(self) -> int: ...

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[Any]:
        """Return the inputs (M, ...) of rows (M,) in views (M,)."""
        ...


@dataclass(frozen=True)
class AugmentedPictures:
    """Pictures (N, S, S, 3) uint8 and their views, which are made when they are read.

    Attributes:
        load_images: returns the decoded pictures; may have to wait for them.
        keys: the SHA-256 of each picture.
        view_numbers: of the views to learn from, as `views.make_view` takes them.
    """

    load_images: Callable[[], Records]
    keys: tuple[bytes, ...]
    view_numbers: tuple[int, ...] = TRAINING_VIEWS["horizontal"]

    @property
    def views(self) -> int:
        return len(self.view_numbers)

    @cached_property
    def images(self) -> Records:
        return self.load_images()

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.uint8]:
        images = self.images[rows]
        for position, (row, view) in enumerate(zip(rows, views, strict=True)):
            number = self.view_numbers[view]
            images[position] = make_view(images[position], number, self.keys[row])
        return images


@dataclass(frozen=True)
class Features:
    """The outputs of frozen layers: a record per picture and view, in order of the pictures."""

    records: Records
    views: int

    def __len__(self) -> int:
        return len(self.records) // self.views

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.records[rows * self.views + views]

    def read_all(self) -> NDArray[np.float32]:
        """Return all features (N, views, ...)."""
        return self.records[:].reshape(len(self), self.views, *self.records.shape[1:])


def extract(
    label: str,
    load_extractor: Callable[[], FeatureExtractor],
    origin: str,
    pictures: AugmentedPictures,
    views: int,
    cache: Cache,
) -> Features:
    """Return the features of views of pictures; those that are not in the cache are computed.

    Args:
        label: the kind of features, which names their folder in the cache.
        load_extractor: returns the extractor; called only if something has to be computed.
        origin: what decides the features besides the pictures, such as `Network.identity`.
        views: how many views of each picture.
    """
    pairs = np.array([(row, view) for row in range(len(pictures)) for view in range(views)])
    keys = record_keys(pictures, views)

    def recipe() -> Recipe:
        extractor = load_extractor()
        return Recipe(
            extractor.shape,
            np.float32,
            lambda positions: extractor(pictures.read(*pairs[positions].T)),
        )

    records = cache.get_or_create(label, origin, keys, recipe)
    records.verify()  # here, because `fit` reads them in TensorFlow's threads, which wrap errors
    return Features(records, views)


def record_keys(pictures: AugmentedPictures, views: int) -> list[bytes]:
    """Return the cache keys of the features, in order of the pictures, then of the views."""
    return [
        hashlib.sha256(key + bytes([number])).digest()
        for key in pictures.keys
        for number in pictures.view_numbers[:views]
    ]


def split_off_frozen(model: keras.Model, records: int) -> tuple[keras.Model, keras.Model] | None:
    """Split a model into (frozen, trainable) with `model(x) == trainable(frozen(x))`.

    Returns:
        None if no layer with weights is frozen, or if the outputs of the frozen part for so many
        records would be larger than MAX_FEATURE_MAP_BYTES.
    """
    frozen, trainable = split_at_trainable(model)
    size_bytes = records * int(np.prod(frozen.output_shape[1:])) * np.float32().nbytes
    if not frozen.weights:
        return None
    if size_bytes > MAX_FEATURE_MAP_BYTES:
        log.info(
            "the feature maps of the frozen layers would take %.1f GB (at most %.1f): the whole "
            "network runs in every epoch, which is slower; fewer --fine-tune-layers make them "
            "smaller",
            *(size_bytes / 1e9, MAX_FEATURE_MAP_BYTES / 1e9),
        )
        return None
    return frozen, trainable
