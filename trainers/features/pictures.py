"""Every picture decoded once, by the service's decoder, at the model's input size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.imaging import decode as decode_picture
from trainers.cache import code_identity
from trainers.cache.array_cache import Cache, Recipe
from trainers.cache.record_store import Records
from trainers.dataset.dataset import Dataset
from trainers.dataset.images import Images, Rows


def decode(dataset: Dataset, size: int, cache: Cache) -> Dataset:
    """The dataset with `images` at this size, none of which is decoded yet."""
    origin = f"{code_identity.identity(decode_picture.__module__)} {size}"
    keys, bits = dataset.cache_keys, dataset.significant_bits

    def fill(rows: Rows) -> Records:
        def make(positions: Rows) -> NDArray[np.uint8]:
            contents = (dataset.read_picture(row) for row in rows[positions])
            return np.stack([decode_picture(one, size, significant_bits=bits) for one in contents])

        recipe = Recipe((size, size, 3), np.uint8, make)
        return cache.get_or_create("pictures", origin, [keys[row] for row in rows], lambda: recipe)

    return replace(dataset, images=Images(len(keys), size, fill))
