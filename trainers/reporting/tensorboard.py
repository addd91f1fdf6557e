"""Log files for TensorBoard, written without the package tensorboard."""

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
    """Writes event files into PHASE/training and PHASE/validation.

    TensorBoard plots both in one chart, because they use the same names.

    Args:
        folder: for the event files; None writes nothing.

    Raises:
        BoardError: `folder` is not a folder and cannot be made.
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
        """Write the figures of an epoch, or of one setting of the head; None where it diverged.

        `keras.callbacks.TensorBoard` needs the package tensorboard, which training does not.
        """
        if self._folder is None:
            return
        # TensorBoard shows only values that are marked like this on its page of scalars.
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
        except tf.errors.OpError as error:  # a full disk is ResourceExhaustedError
            raise BoardError(f"--tensorboard {self._folder}: {error.message}") from error

    def _writer(self, folder: Path) -> Any:
        if folder not in self._writers:
            self._writers[folder] = tf.summary.create_file_writer(str(folder))
        return self._writers[folder]
