"""Train one model on several devices, each with its share of every batch."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from plugins.copying import clone
from trainers.features.batches import Batches


def replicate(model: keras.Model) -> keras.Model:
    """Copy a model into the scope of the current distribution strategy.

    With one device there is none, and the result is the model itself.
    """
    return clone(model) if tf.distribute.has_strategy() else model


def distribute(batches: Batches, strategy: tf.distribute.Strategy) -> keras.utils.PyDataset:
    """Return batches that the devices of a strategy can share evenly.

    With one device they are the same batches.
    """
    replicas = strategy.num_replicas_in_sync
    return batches if replicas == 1 else EvenBatches(batches, replicas)


class EvenBatches(keras.utils.PyDataset):
    """Batches whose sizes are multiples of the number of replicas.

    A smaller batch is filled up with its first pictures, which have weight 0, and the other weights
    grow. So the mean over all replicas is the mean over the pictures, and the gradients are those
    of one device. Logged figures count the added pictures.
    """

    def __init__(self, batches: Batches, replicas: int) -> None:
        super().__init__()
        self._batches, self._replicas = batches, replicas

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], ...]:
        inputs, targets, weights = self._batches[index]
        count = len(inputs)
        even_count = -(-count // self._replicas) * self._replicas
        rows = np.arange(even_count) % count
        weights = weights[rows] * np.float32(even_count / count)
        weights[count:] = 0
        return inputs[rows], targets[rows], weights
