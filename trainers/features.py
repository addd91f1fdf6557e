"""What frozen layers compute never changes: compute it once, and train on the result.

`cut` splits a model at the last point before anything trainable through which everything flows.
Fine-tuning then trains the second half, fed with the first half's outputs for every picture and
its mirror image, several times faster than running the whole network for every epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainers.progress import Progress
from trainers.workspace import disk_array

VIEWS = 2
"""Every picture as it is (view 0) and mirrored (view 1): the augmentation, outside the graph."""

MAX_CACHE_BYTES = 4 * 1024**3
"""Largest features kept; above, the frozen layers run again for each batch."""

_BATCH = 32


class Source(Protocol):
    """Inputs of a model being trained, by row and view."""

    def __len__(self) -> int: ...

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[Any]:
        """Inputs (M, ...) for rows (M,) and views (M,)."""
        ...


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures: `rows` of images (N, S, S, 3) uint8. Mirrored when they are read."""

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.uint8]:
        batch = self.images[self.rows[rows]]
        mirrored = views == 1
        batch[mirrored] = batch[mirrored, :, ::-1]
        return batch


@dataclass(frozen=True)
class Features:
    """Outputs of frozen layers: (N, views, ...) float32."""

    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.values[rows, views]


def compute(
    layers: keras.Model, source: Source, views: int, path: Path, progress: Progress
) -> Features:
    """Run every view of a source through layers, in inference mode, into a file at `path`."""
    shape = (len(source), views, *layers.output_shape[1:])
    values = disk_array(path, np.float32, shape)
    run = in_inference(layers)
    starts = range(0, len(source), _BATCH)
    for start in progress.track(starts, len(starts), "frozen layers"):
        rows = np.arange(start, min(start + _BATCH, len(source)))
        for view in range(views):
            values[rows, view] = run(source.read(rows, np.full(len(rows), view)))
    return Features(values)


def cut(model: keras.Model, pictures: int) -> tuple[keras.Model, keras.Model] | None:
    """Split into (frozen, trained) with `model(x) == trained(frozen(x))`.

    None where nothing worth keeping is frozen, or where the frozen layers' outputs for so many
    pictures would not fit MAX_CACHE_BYTES.
    """
    waist = _last_frozen_waist(model)
    frozen, trained = keras.Model(model.input, waist), keras.Model(waist, model.output)
    size_bytes = pictures * VIEWS * int(np.prod(waist.shape[1:])) * np.float32().nbytes
    return (frozen, trained) if frozen.weights and size_bytes <= MAX_CACHE_BYTES else None


def in_inference(model: keras.Model) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """A fast function of a batch of any number type, with training=False."""
    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

    @tf.function(input_signature=[signature], autograph=False)
    def run(batch: Any) -> Any:
        return model(batch, training=False)

    def call(batch: NDArray[Any]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = run(batch.astype(np.float32)).numpy()
        return output

    return call


def _last_frozen_waist(model: keras.Model) -> Any:
    """The last tensor before all trainable layers that alone carries everything behind it."""
    by_depth = model._nodes_by_depth  # Keras has no public door to its graph
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    last_use = {id(tensor): at for at, node in enumerate(nodes) for tensor in node.input_tensors}
    waist, reach = model.input, 0
    for at, node in enumerate(nodes):
        if getattr(node.operation, "trainable_weights", ()):
            break
        if reach <= at and len(node.output_tensors) == 1:  # nothing earlier is used later
            waist = node.output_tensors[0]
        reach = max(reach, *(last_use.get(id(tensor), 0) for tensor in node.output_tensors))
    return waist
