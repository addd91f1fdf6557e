"""Training batches: every picture once an epoch, in a new order, as it is or mirrored."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trainers.features import VIEWS, Source


class Batches(keras.utils.PyDataset):
    """Batches of (inputs, labels) for `keras.Model.fit`.

    Args:
        source: the inputs.
        labels: (N,) class indices.
        batch_size: pictures in a batch; the last one may be smaller.
        seed: of the order and of the views; None keeps the order and takes pictures as they are.
    """

    def __init__(
        self, source: Source, labels: NDArray[np.int64], batch_size: int, seed: int | None = None
    ) -> None:
        super().__init__()
        self._source = source
        self._labels = labels
        self._batch_size = batch_size
        self._rng = None if seed is None else np.random.default_rng(seed)
        self._rows = np.arange(len(labels))
        self._views = np.zeros(len(labels), np.int64)
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self._rows) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        part = slice(index * self._batch_size, (index + 1) * self._batch_size)
        rows = self._rows[part]
        inputs = self._source.read(rows, self._views[part])
        return inputs.astype(np.float32, copy=False), self._labels[rows]

    def on_epoch_end(self) -> None:
        if self._rng is not None:
            self._rng.shuffle(self._rows)
            self._views = self._rng.integers(VIEWS, size=len(self._rows))
