"""One model trained by several devices in step, each on its part of every batch."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from plugins.copying import clone
from trainers.features.batches import Batches


def copy(model: keras.Model) -> keras.Model:
    """The same model with variables of the strategy in whose scope this is called.

    On one device, the model itself.
    """
    return clone(model) if tf.distribute.has_strategy() else model


def parts(batches: Batches, strategy: tf.distribute.Strategy) -> keras.utils.PyDataset:
    """Batches that the strategy's devices can share evenly; on one device, these themselves."""
    count = strategy.num_replicas_in_sync
    return batches if count == 1 else Even(batches, count)


class Even(keras.utils.PyDataset):
    """Batches whose sizes are multiples of the number of replicas.

    The last one is filled up by its first pictures with weight 0, and the others' weights grow, so
    that the mean over all replicas is the mean over the pictures: gradients are those of a single
    device. Figures in the log count the filling.
    """

    def __init__(self, batches: Batches, replicas: int) -> None:
        super().__init__()
        self._batches, self._replicas = batches, replicas

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], ...]:
        inputs, targets, weights = self._batches[index]
        count = len(inputs)
        full = -(-count // self._replicas) * self._replicas
        rows = np.arange(full) % count
        weights = weights[rows] * np.float32(full / count)
        weights[count:] = 0
        return inputs[rows], targets[rows], weights
