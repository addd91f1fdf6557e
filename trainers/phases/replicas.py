"""One model trained by several devices in step, each on its part of every batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from plugins.copying import clone
from trainers.features.batches import Batches


def copy(model: keras.Model) -> keras.Model:
    """The same model with variables of the strategy in whose scope this is called.

    On one device, the model itself. All workers start from the chief's weights.
    """
    strategy = tf.distribute.get_strategy()
    if not tf.distribute.has_strategy():
        return model
    one = clone(model)
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return InStep(one.inputs, one.outputs)
    return one


def build(model: keras.Model, batches: Batches) -> None:
    """Make the variables of metrics and optimizer, in the scope and after compile, where Keras
    cannot do it later."""
    if isinstance(model, InStep):
        model._symbolic_build(data_batch=tuple(map(tf.convert_to_tensor, batches[0])))
        model.optimizer.build(model.trainable_variables)


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


class InStep(keras.Model):
    """A model that `fit` trains under MultiWorkerMirroredStrategy.

    Keras 3 does not get there by itself (keras#20585): it wants to reduce a batch to build the
    model by it, which is a collective operation too many, and takes the mean of each log over an
    axis that a number does not have.
    """

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Nothing: `build` has done it."""

    def train_step(self, data: Any) -> Mapping[str, Any]:
        return _as_vectors(super().train_step(data))

    def test_step(self, data: Any) -> Mapping[str, Any]:
        return _as_vectors(super().test_step(data))


def _as_vectors(logs: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: tf.reshape(value, (1,)) for name, value in logs.items()}
