"""Computes the outputs of frozen layers once for each picture and view, and caches them.

`split_off_frozen` splits a model before its first trainable layer. Fine-tuning then trains the
second part on the cached outputs of the first part. This is several times faster than running the
whole network in every epoch.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from trainers.cache.array_cache import Cache, Recipe
from trainers.cache.record_store import Records
from trainers.features.augmentation import TRAINING_VIEWS, make_view
from trainers.features.frozen_layers import FeatureExtractor
from trainers.model.graph import split_at_trainable
from trainers.progress import log

MAX_FEATURE_MAP_BYTES = 4 * 1024**3
"""Limit on the total size of the feature maps that fine-tuning caches. If they would be larger, the
network is split earlier, where feature maps are smaller, so that fewer layers are computed only
once. If they are too large everywhere, the whole network runs in every epoch."""


class ModelInputs(Protocol):
    """The inputs of a model during training. Each row is a picture, which has one or more views.

    Attributes:
        views: number of views of each picture (see `augmentation`).
    """

    @property
    def views(self) -> int: ...

    def __len__(self) -> int: ...

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[Any]:
        """Return inputs (M, ...). Input i is the picture `rows[i]` in the view `views[i]`."""
        ...


@dataclass(frozen=True)
class AugmentedPictures:
    """Pictures (N, S, S, 3) uint8 and their views. A view is made each time that it is read.

    Attributes:
        load_images: a function that waits until the pictures are decoded, and returns them.
        keys: the cache key of each picture, as in `Dataset.cache_keys`.
        view_numbers: the views of each picture, as numbers for `augmentation.make_view`.
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
    """The outputs of frozen layers, ordered by picture, then by view.

    Attributes:
        records: (N * views, ...) float32.
        views: number of views of each picture.
    """

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
    dependencies: str,
    pictures: AugmentedPictures,
    views: int,
    cache: Cache,
) -> Features:
    """Return the features of the first `views` views of each picture. Compute missing features.

    Args:
        label: the kind of features; the first part of the name of their folder in the cache.
        load_extractor: returns the extractor; called only if the cache lacks features.
        dependencies: a text that identifies everything, besides the pictures, that determines the
            features, such as `Network.identity`.
        views: number of views of each picture, counted from the first one.

    Raises:
        CacheError: the cache cannot be written to, or its disk is full.
        CorruptRecordError: a record in the cache is damaged.
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

    records = cache.get_or_create(label, dependencies, keys, recipe)
    records.verify()  # here, because errors in the threads of `fit` lose their type
    return Features(records, views)


def record_keys(pictures: AugmentedPictures, views: int) -> list[bytes]:
    """Return the cache keys of the first `views` views of each picture, picture by picture."""
    return [
        hashlib.sha256(key + bytes([number])).digest()
        for key in pictures.keys
        for number in pictures.view_numbers[:views]
    ]


def split_off_frozen(model: keras.Model, records: int) -> tuple[keras.Model, keras.Model] | None:
    """Split a model into (frozen, trainable) with `model(x) == trainable(frozen(x))`.

    Args:
        model: a model with frozen and trainable layers.
        records: number of feature maps that would be cached, counting each view of a picture.

    Returns:
        The two parts, or None if the frozen part would have no weights, or if its feature maps
        would be larger than MAX_FEATURE_MAP_BYTES wherever the model is split.
    """
    value_bytes = records * np.float32().nbytes
    frozen, trainable = split_at_trainable(model, MAX_FEATURE_MAP_BYTES / value_bytes)
    if not frozen.weights:
        return None
    size_bytes = math.prod(frozen.output_shape[1:]) * value_bytes
    if size_bytes > MAX_FEATURE_MAP_BYTES:
        log.info(
            "the feature maps of the frozen layers would take %.1f GB, more than the limit of "
            "%.1f GB: the whole network runs in every epoch, which is slower; to make the feature "
            "maps smaller, choose a smaller --fine-tune-layers",
            *(size_bytes / 1e9, MAX_FEATURE_MAP_BYTES / 1e9),
        )
        return None
    return frozen, trainable
