"""Every picture decoded once, by the service's decoder, at the model's input size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.imaging import DECODER
from service.imaging import decode as decode_picture
from trainers.cache import Cache, Recipe
from trainers.data import Dataset


def decode(dataset: Dataset, size: int, cache: Cache) -> Dataset:
    """Begin to decode all pictures that were never decoded at this size, in the background.

    Returns:
        The dataset, whose `images` wait for the end of it, or raise
        DataError: a file is no longer what it was when it was looked at;
        CacheError: too little room on the disk.
    """

    def make(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack(
            [
                decode_picture(
                    dataset.content(row), size, significant_bits=dataset.significant_bits
                )
                for row in rows
            ]
        )

    recipe = Recipe((size, size, 3), np.uint8, make)
    origin = f"{DECODER} {size}"
    thread = ThreadPoolExecutor(1)
    decoding = thread.submit(cache.fill, "pictures", origin, dataset.keys, lambda: recipe)
    thread.shutdown(wait=False)
    return replace(dataset, decoding=decoding)
