"""Prepares a model and its batches for training on several devices, which share every batch."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from plugins.copying import clone
from trainers.features.batches import Batches


def replicate(model: keras.Model) -> keras.Model:
    """Copy a model into the scope of the current distribution strategy.

    With one device, there is no such scope. Then the model itself is returned.
    """
    return clone(model) if tf.distribute.has_strategy() else model


def distribute(batches: Batches, strategy: tf.distribute.Strategy) -> keras.utils.PyDataset:
    """Return batches that can be split evenly among the devices of a strategy.

    With one device, the batches are returned unchanged.
    """
    replicas = strategy.num_replicas_in_sync
    return batches if replicas == 1 else EvenBatches(batches, replicas)


class EvenBatches(keras.utils.PyDataset):
    """Batches whose sizes are multiples of the number of replicas.

    Each batch is padded to such a size with copies of its first pictures. The copies have the
    weight 0, and the weights of the original pictures are multiplied by the new size divided by the
    old size. So the mean loss over all replicas, and its gradients, are those of the original
    batch. But the accuracy and the cross-entropy in the log include the copies.
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
