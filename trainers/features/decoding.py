"""Decodes every picture once, with the decoder of the service, at the input size of the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.imaging import decode as decode_picture
from trainers.cache import code_identity
from trainers.cache.array_cache import Cache, Recipe
from trainers.cache.record_store import Records
from trainers.dataset.dataset import Dataset
from trainers.dataset.decoded_images import Images, Rows

MAX_PREFETCHED = 2000
"""Up to this number of training pictures, `prefetch` decodes them, too. This takes about as long as
TensorFlow needs to start."""


def decode_lazily(dataset: Dataset, size: int, cache: Cache) -> Dataset:
    """Return the dataset with `images` of (size, size) pixels, each decoded when first needed."""
    dependencies = f"{code_identity.identity(decode_picture.__module__)} {size}"
    keys, bits = dataset.cache_keys, dataset.significant_bits

    def load(rows: Rows) -> Records:
        def make(positions: Rows) -> NDArray[np.uint8]:
            contents = (dataset.read_picture(row) for row in rows[positions])
            return np.stack(
                [decode_picture(content, size, significant_bits=bits) for content in contents]
            )

        recipe = Recipe((size, size, 3), np.uint8, make)
        return cache.get_or_create(
            "pictures", dependencies, [keys[row] for row in rows], lambda: recipe
        )

    return replace(dataset, images=Images(len(keys), size, load))


def prefetch(dataset: Dataset) -> None:
    """Start to decode pictures before it is known whether the cache has their features.

    Every run needs the validation and test pictures. A run whose features are in the cache needs no
    training pictures, so these are decoded early only if they are few.
    """
    is_small = len(dataset.rows("train")) <= MAX_PREFETCHED
    dataset.prefetch(*(("train", "validation", "test") if is_small else ("validation", "test")))
