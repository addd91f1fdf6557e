"""Batches for `fit`. A training epoch has each picture once, in random order and a random view."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.system.resources import usable_cores
from trainers.features.augmentation import mix_up
from trainers.features.frozen_features import ModelInputs

MIN_STEPS_PER_EPOCH = 20
"""With several devices, batches are made larger than --batch-size only as long as an epoch has at
least this many steps. Training with fewer steps on larger batches ends at a higher loss."""
PREFETCH_BYTES = 512 * 1024**2
"""Limit on the memory for the batches that threads prepare at the same time, one batch per thread.
Even if one batch is larger than this, one thread prepares batches."""


class Batches(keras.utils.PyDataset):
    """Batches for `fit`: inputs (M, ...), class probabilities (M, classes) and weights (M,).

    Args:
        inputs: the inputs of the model (pictures or features), by row and view.
        truth: (N,) int64, the class index of each row, or (N, classes) bool, whether it has each
            label.
        class_weights: (classes,) the weight of each class in the loss. For a mixture of two
            pictures, the weights of their classes are mixed in the same shares. A row with any
            number of labels has the weight 1.
        batch_size: number of pictures in a batch; the last batch may be smaller.
        seed: seed of the order, the views and the mixtures, which differ from epoch to epoch. If it
            is None, every epoch has the unchanged pictures in their original order.
        mixup: `alpha` of `augmentation.mix_up`; 0 switches mixup off.
    """

    def __init__(
        self,
        inputs: ModelInputs,
        truth: NDArray[Any],
        class_weights: NDArray[np.float32],
        batch_size: int,
        seed: int | None = None,
        mixup: float = 0.0,
    ) -> None:
        super().__init__()
        self._inputs = inputs
        self.truth = truth
        if self.is_multi_label:
            targets, weights = truth.astype(np.float32), np.ones(len(truth), np.float32)
        else:
            targets = np.eye(len(class_weights), dtype=np.float32)[truth]
            weights = class_weights[truth]
        # The weight is the last column, because mixup mixes it in the same shares.
        self._targets = np.column_stack([targets, weights])
        self._batch_size = batch_size
        self._seed = seed
        self._mixup = mixup
        self.start_epoch(0)

    @property
    def is_multi_label(self) -> bool:
        """Whether a row may have several labels, or none."""
        return self.truth.ndim == 2

    def start_epoch(self, epoch: int) -> None:
        """Choose the order and the views of an epoch. They depend only on the seed and `epoch`."""
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
            inputs, targets = mix_up(inputs, targets, self._mixup, rng)
        return inputs, targets[:, :-1], targets[:, -1]


def global_batch_size(batch_size: int, devices: int, pictures: int) -> int:
    """Return the number of pictures that all devices together process in one step.

    This is `batch_size` times `devices`, or fewer if an epoch would otherwise have fewer than
    MIN_STEPS_PER_EPOCH steps. But it is never less than `batch_size`.

    Args:
        batch_size: number of pictures per step on one device.
        devices: number of devices.
        pictures: number of pictures in an epoch.
    """
    return max(batch_size, min(batch_size * devices, pictures // MIN_STEPS_PER_EPOCH))


def to_tf_dataset(batches: keras.utils.PyDataset) -> tf.data.Dataset:
    """Return a dataset that yields the batches in order. Threads prepare them in advance.

    There is one thread per core, or fewer if their batches would exceed PREFETCH_BYTES. Every
    iteration yields the batches of the epoch for which `start_epoch` was last called. If `fit` got
    the PyDataset itself, the threads of Keras would return some batches of the previous epoch.
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
