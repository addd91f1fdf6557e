"""Training batches: each epoch has every picture once, in random order, in a random view, mixed."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.system.resources import usable_cores
from trainers.features.frozen_features import ModelInputs

MIN_STEPS_PER_EPOCH = 20
"""However many devices share a batch: fewer steps on larger batches reach a higher loss."""
PREFETCH_BYTES = 512 * 1024**2
"""Most memory for batches that are prepared ahead; one batch is always prepared."""


class Batches(keras.utils.PyDataset):
    """Batches for `fit`: inputs (M, ...), class probabilities (M, classes) and weights (M,).

    Args:
        inputs: of the model.
        labels: (N,) class indices.
        class_weights: (classes,) weight of each class in the loss; a mixed picture has the mean
            weight of its two classes.
        batch_size: pictures in a batch; the last one may be smaller.
        seed: decides, with the number of the epoch, the order, the views and the mixing; None for
            unchanged pictures in order.
        mixup: `alpha` of mixup (Zhang et al. 2018; on features: Verma et al. 2019): each input
            and its class become a random mixture of two. 0 mixes nothing.
    """

    def __init__(
        self,
        inputs: ModelInputs,
        labels: NDArray[np.int64],
        class_weights: NDArray[np.float32],
        batch_size: int,
        seed: int | None = None,
        mixup: float = 0.0,
    ) -> None:
        super().__init__()
        self._inputs = inputs
        self.labels = labels
        self._targets = np.eye(len(class_weights), dtype=np.float32)[labels]
        self._class_weights = class_weights
        self._batch_size = batch_size
        self._seed = seed
        self._mixup = mixup
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order and the views of an epoch; they depend on the seed and `epoch` only."""
        count = len(self._targets)
        self._epoch = epoch
        self._rows, self._views = np.arange(count), np.zeros(count, np.int64)
        if self._seed is not None:
            rng = np.random.default_rng((self._seed, epoch))
            rng.shuffle(self._rows)
            self._views = rng.integers(self._inputs.views, size=count)

    def __len__(self) -> int:
        return math.ceil(len(self._rows) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], ...]:
        batch = slice(index * self._batch_size, (index + 1) * self._batch_size)
        rows = self._rows[batch]
        inputs = self._inputs.read(rows, self._views[batch]).astype(np.float32, copy=False)
        targets = self._targets[rows]
        if self._seed is not None and self._mixup:
            rng = np.random.default_rng((self._seed, self._epoch, index))
            share = rng.beta(self._mixup, self._mixup, len(rows)).astype(np.float32)
            other = rng.permutation(len(rows))
            inputs, targets = _mix(inputs, other, share), _mix(targets, other, share)
        return inputs, targets, targets @ self._class_weights


def _mix(
    values: NDArray[Any], other: NDArray[np.int64], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    """share * values + (1 - share) * values[other], row by row."""
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    mixed: NDArray[np.float32] = share * values + (1 - share) * values[other]
    return mixed


def global_batch_size(batch_size: int, devices: int, pictures: int) -> int:
    """Return how many pictures all devices together take in a step.

    This is `batch_size` for each device, or fewer if an epoch of so many pictures would otherwise
    have fewer than MIN_STEPS_PER_EPOCH steps, but at least `batch_size`.
    """
    return max(batch_size, min(batch_size * devices, pictures // MIN_STEPS_PER_EPOCH))


def to_tf_dataset(batches: keras.utils.PyDataset) -> tf.data.Dataset:
    """Return the batches in order, prepared ahead by a thread per core, within PREFETCH_BYTES.

    Every pass has the batches of the epoch that was started last. Keras' own threads for a
    PyDataset would still return some batches of the epoch before.
    """
    first = batches[0]
    batch_bytes = sum(array.nbytes for array in first)
    threads = max(1, min(usable_cores(), PREFETCH_BYTES // batch_bytes))

    def make(index: Any) -> Any:
        arrays = tf.numpy_function(lambda at: batches[at], [index], [tf.float32] * len(first))
        shapes = ((None, *array.shape[1:]) for array in first)
        pairs = zip(arrays, shapes, strict=True)
        return tuple(tf.ensure_shape(array, shape) for array, shape in pairs)

    indices = tf.data.Dataset.range(len(batches))
    return indices.map(make, num_parallel_calls=threads, deterministic=True).prefetch(1)
