"""Figures of training as TensorBoard reads them; the package of that name is not needed for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from service.errors import GraftError

_VALIDATION = "val_"


class BoardError(GraftError):
    """The folder for TensorBoard cannot be written."""


class Board:
    """Event files PHASE/training and PHASE/validation, so TensorBoard lays their curves over
    each other.

    Args:
        folder: where they go; None writes nothing.

    Raises:
        BoardError: that is no folder, and cannot become one.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise BoardError(
                    f"--tensorboard {folder} cannot be made a folder: {error}"
                ) from error
        self._folder = folder
        self._writers: dict[Path, Any] = {}

    def add(self, phase: str, step: int, row: Mapping[str, float | None]) -> None:
        """Write the figures of an epoch, or of one try at the head; None where it diverged.

        Not by `keras.callbacks.TensorBoard`: without the package tensorboard, which training does
        not need, it fails in the middle of `fit`.
        """
        if self._folder is None:
            return
        # What the page about scalars looks for in a file.
        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data={"plugin_name": "scalars"}, data_class="DATA_CLASS_SCALAR"
        )
        try:
            for name, value in row.items():
                kind = "validation" if name.startswith(_VALIDATION) else "training"
                if value is not None:
                    with self._writer(self._folder / phase / kind).as_default():
                        tag = name.removeprefix(_VALIDATION)
                        tf.summary.write(tag, tf.constant(value, tf.float32), step, metadata)
            for writer in self._writers.values():
                writer.flush()
        except tf.errors.OpError as error:  # a full disk is ResourceExhausted, like memory
            raise BoardError(f"--tensorboard {self._folder}: {error.message}") from error

    def _writer(self, folder: Path) -> Any:
        if folder not in self._writers:
            self._writers[folder] = tf.summary.create_file_writer(str(folder))
        return self._writers[folder]
