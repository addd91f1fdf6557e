from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.cache.record_store import Records
from trainers.dataset.decoded_images import Images

PICTURES = np.arange(10, dtype=np.uint8)[:, np.newaxis, np.newaxis, np.newaxis] * np.ones(
    (1, 4, 4, 3), np.uint8
)


class Decoder:
    """Decodes rows of PICTURES, and records the rows of each call."""

    def __init__(self, pause: float = 0) -> None:
        self.pause, self.filled = pause, list[list[int]]()

    def images(self) -> Images:
        return Images(10, 4, self._fill)

    def _fill(self, rows: NDArray[np.int64]) -> Records:
        time.sleep(self.pause)
        self.filled.append(rows.tolist())
        if 9 in rows:
            raise ValueError("9 changed")
        return Records(PICTURES[rows], np.arange(len(rows)))


def test_pictures_are_decoded_when_first_needed() -> None:
    decoder = Decoder()
    images = decoder.images()
    assert images.shape == (10, 4, 4, 3)
    assert decoder.filled == []
    np.testing.assert_array_equal(images[np.array([3, 1, 3])], PICTURES[[3, 1, 3]])
    assert decoder.filled == [[1, 3]]


def test_a_batch_is_decoded_once_for_all_threads() -> None:
    decoder = Decoder(pause=0.05)
    images = decoder.images()
    rows = np.array([2, 5, 7])
    images.prefetch(rows)
    with ThreadPoolExecutor(4) as threads:
        for records in threads.map(images.records, [rows] * 8):
            np.testing.assert_array_equal(records[:], PICTURES[rows])
    np.testing.assert_array_equal(images[np.array([7, 2])], PICTURES[[7, 2]])
    assert decoder.filled == [[2, 5, 7]]
    np.testing.assert_array_equal(images[np.array([0, 7, 1, 5])], PICTURES[[0, 7, 1, 5]])
    assert decoder.filled == [[2, 5, 7], [0, 1]]
    np.testing.assert_array_equal(images[:9], PICTURES[:9])
    assert decoder.filled[2:] == [[3, 4, 6, 8]]


def test_a_failure_is_raised_for_its_batch_only() -> None:
    images = Decoder().images()
    images.prefetch(np.array([8, 9]))
    np.testing.assert_array_equal(images[:8], PICTURES[:8])
    for read in (lambda: images.records(np.array([8, 9])), lambda: images[8:9]):
        with pytest.raises(ValueError, match="9 changed"):
            read()


def test_images_wrap_an_array() -> None:
    images = Images.from_array(PICTURES)
    np.testing.assert_array_equal(images[2:4], PICTURES[2:4])
    np.testing.assert_array_equal(images.records(np.array([5, 4]))[:], PICTURES[[5, 4]])
    assert images[:0].shape == (0, 4, 4, 3)
