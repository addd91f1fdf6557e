"""Augmentation for pretraining the `pocket` backbone: random crops, scale, mirroring and light.

Training runs do not use it. Their augmentation is in trainers/features/augmentation.py.
"""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainers.pretraining.drawn_dataset import DrawnDataset

VIEW_SIZE = 64
"""Side of the network's input in pretraining, in pixels."""
MIN_CROP = 0.55
"""The smallest side of a crop, relative to the side of the picture. So the scale of crops varies by
a factor of 1.8."""


class AugmentedDataset(keras.utils.PyDataset):
    """Batches for `keras.Model.fit` and `evaluate`.

    A batch is a pair: images (M, VIEW_SIZE, VIEW_SIZE, 3), float32 RGB from 0 to 255, and labels
    (M,), int64.

    Args:
        drawn: all pictures.
        rows: the rows of the pictures to use.
        batch_size: the number of images in a batch.
        seed: for training, the seed for shuffling and augmenting the pictures; the last incomplete
            batch is dropped. None is for validation: the pictures keep their order, and the network
            gets the centre of each.
    """

    def __init__(
        self,
        drawn: DrawnDataset,
        rows: NDArray[np.int64],
        batch_size: int,
        seed: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(workers=1)  # a thread prepares the next batches
        self._drawn, self._batch_size, self._seed = drawn, batch_size, seed
        self._rows = rows if seed is None else np.random.default_rng(seed).permutation(rows)

    def __len__(self) -> int:
        count = len(self._rows) / self._batch_size
        return math.ceil(count) if self._seed is None else math.floor(count)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rows = self._rows[index * self._batch_size : (index + 1) * self._batch_size]
        images, labels = self._drawn.images[rows], self._drawn.labels(rows)
        if self._seed is None:
            edge = (images.shape[1] - VIEW_SIZE) // 2
            inner = slice(edge, edge + VIEW_SIZE)
            return images[:, inner, inner].astype(np.float32), labels
        return _augment(images, np.random.default_rng((*self._seed, index))), labels


def _augment(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    count = len(images)
    side = rng.uniform(MIN_CROP, 1, count)
    top, left = rng.uniform(size=(2, count)) * (1 - side)
    boxes = np.stack([top, left, top + side, left + side], axis=1)
    is_mirrored = rng.uniform(size=count) < 0.5
    boxes[is_mirrored] = boxes[is_mirrored][:, [0, 3, 2, 1]]
    views = tf.image.crop_and_resize(
        images, boxes, np.arange(count), (VIEW_SIZE, VIEW_SIZE)
    ).numpy()
    light = rng.uniform(0.8, 1.2, (count, 1, 1, 1)) * rng.uniform(0.8, 1.2, (count, 1, 1, 3))
    relit: NDArray[np.float32] = (views * light.astype(np.float32)).clip(0, 255)
    return relit
