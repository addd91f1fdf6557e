"""Training batches: every picture once an epoch, in a new order, in one of its views, blended."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.system.resources import usable_cores
from trainers.features.frozen_features import Source

STEPS = 20
"""An epoch keeps so many, however many devices share a batch. MobileNetV2 0.35, 700 flowers, two
splits, lowest validation loss by the batch: 32 0.242 and 0.394, 128 0.247, 256 0.274 and 0.437.
A higher rate for larger batches does not help: 128 at twice the rate 0.430, 256 at 2.8 times 1.019.
"""
AHEAD_BYTES = 512 * 1024**2
"""Most that batches made ahead of the devices take, but for one that is larger by itself."""


class Batches(keras.utils.PyDataset):
    """Batches of inputs (M, ...), class probabilities (M, classes) and weights (M,), for `fit`.

    Args:
        source: the inputs.
        labels: (N,) class indices.
        class_weights: (classes,) weight of each class in the loss; a blend weighs as its parts do.
        batch_size: pictures in a batch; the last one may be smaller.
        seed: of the order, the views and the mixing, which follow from it and the epoch's number
            alone; None for pictures as they are, in order.
        mixup: `alpha` of mixup (Zhang et al. 2018; on features: Verma et al. 2019): each input
            and its class become a random blend of two. 0 blends nothing.
    """

    def __init__(
        self,
        source: Source,
        labels: NDArray[np.int64],
        class_weights: NDArray[np.float32],
        batch_size: int,
        seed: int | None = None,
        mixup: float = 0.0,
    ) -> None:
        super().__init__()
        self._source = source
        self.labels = labels
        self._targets = np.eye(len(class_weights), dtype=np.float32)[labels]
        self._class_weights = class_weights
        self._batch_size = batch_size
        self._seed = seed
        self._mixup = mixup
        self.start(0)

    def start(self, epoch: int) -> None:
        """Lay out an epoch; the same one always comes out the same."""
        count = len(self._targets)
        self._epoch = epoch
        self._rows, self._views = np.arange(count), np.zeros(count, np.int64)
        if self._seed is not None:
            rng = np.random.default_rng((self._seed, epoch))
            rng.shuffle(self._rows)
            self._views = rng.integers(self._source.views, size=count)

    def __len__(self) -> int:
        return math.ceil(len(self._rows) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], ...]:
        part = slice(index * self._batch_size, (index + 1) * self._batch_size)
        rows = self._rows[part]
        inputs = self._source.read(rows, self._views[part]).astype(np.float32, copy=False)
        targets = self._targets[rows]
        if self._seed is not None and self._mixup:
            rng = np.random.default_rng((self._seed, self._epoch, index))
            share = rng.beta(self._mixup, self._mixup, len(rows)).astype(np.float32)
            other = rng.permutation(len(rows))
            inputs, targets = _blend(inputs, other, share), _blend(targets, other, share)
        return inputs, targets, targets @ self._class_weights


def _blend(
    values: NDArray[Any], other: NDArray[np.int64], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    """share * values + (1 - share) * values[other], row by row."""
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    blended: NDArray[np.float32] = share * values + (1 - share) * values[other]
    return blended


def together(each: int, devices: int, pictures: int) -> int:
    """Pictures in a step of all devices: `each` for every one of them, as long as an epoch keeps
    STEPS steps, but never fewer than a single device would take."""
    return max(each, min(each * devices, pictures // STEPS))


def feed(batches: keras.utils.PyDataset) -> tf.data.Dataset:
    """The batches in their order, made ahead by a thread per processor, within AHEAD_BYTES.

    Each pass begins with how the batches are laid out then. Keras' own threads for a PyDataset
    would keep some of the pass before.
    """
    first = batches[0]
    batch_bytes = sum(one.nbytes for one in first)
    ahead = max(1, min(usable_cores(), AHEAD_BYTES // batch_bytes))

    def make(index: Any) -> Any:
        made = tf.numpy_function(lambda at: batches[at], [index], [tf.float32] * len(first))
        shapes = ((None, *one.shape[1:]) for one in first)
        return tuple(tf.ensure_shape(one, shape) for one, shape in zip(made, shapes, strict=True))

    indices = tf.data.Dataset.range(len(batches))
    return indices.map(make, num_parallel_calls=ahead, deterministic=True).prefetch(1)
