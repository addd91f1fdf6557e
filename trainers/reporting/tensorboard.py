"""Writes log files for TensorBoard, without using the package tensorboard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from service.errors import GraftError

_VALIDATION = "val_"


class BoardError(GraftError):
    """The log files for TensorBoard cannot be written."""


class Board:
    """Writes event files to the folders PHASE/training and PHASE/validation.

    A value has the same name in both folders, so TensorBoard plots its two curves in one chart.

    Args:
        folder: the folder for the event files; None means that nothing is written.

    Raises:
        BoardError: `folder` does not exist and cannot be created.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise BoardError(
                    f"--tensorboard: cannot create the folder {folder}: {error}; set "
                    "--tensorboard to a folder in which this user can write"
                ) from error
        self._folder = folder
        self._writers: dict[Path, Any] = {}

    def add(self, phase: str, step: int, row: Mapping[str, float | None]) -> None:
        """Write one point of each curve of a phase.

        `keras.callbacks.TensorBoard` is not used, because it needs the package tensorboard.

        Args:
            phase: name of the phase, which is also the name of its folder.
            step: position on the horizontal axis: the epoch, or the index of the value of C (the
                inverse strength of regularisation).
            row: values by name; names with the prefix `val_` belong to validation. A value of None
                (training diverged) is not written.

        Raises:
            BoardError: the files cannot be written, for example because the disk is full.
        """
        if self._folder is None:
            return
        # Without this metadata, TensorBoard does not show the values on its page of scalars.
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
            raise BoardError(
                f"--tensorboard: cannot write to {self._folder}: {error.message}; free some disk "
                "space, or set --tensorboard to another folder"
            ) from error

    def _writer(self, folder: Path) -> Any:
        if folder not in self._writers:
            self._writers[folder] = tf.summary.create_file_writer(str(folder))
        return self._writers[folder]
