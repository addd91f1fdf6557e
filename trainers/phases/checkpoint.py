"""The checkpoint: a file with the state of fine-tuning after the last full epoch, for --resume."""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from plugins.copying import refresh_derived_state
from service.errors import GraftError
from service.system.interrupts import cleanup_on_signal
from trainers.evaluation.early_stopping import EarlyStopping
from trainers.heads.head import HistoryRow
from trainers.phases.plan import Plan
from trainers.progress import log

_ABANDONED_SECONDS = 60
"""Temporary files older than this are removed: their processes must have been killed."""


class CheckpointError(GraftError):
    """The checkpoint is damaged, or belongs to a run with other pictures, options or weights."""


class Checkpoint(keras.callbacks.Callback):
    """A callback that saves the state of training and of early stopping after each full epoch.

    In the list of callbacks, it must come after `early_stopping`, for two reasons. After an epoch,
    it saves what early stopping has decided. When `fit` begins, it restores the state of early
    stopping, which `fit` has just reset.

    Args:
        path: the file, which contains NumPy arrays and JSON. HDF5 is not used: on a full disk
            it would crash the process, and its file lock would make a second run with the same
            --name fail.
        identity: a hash of the pictures, options and weights. `load` rejects a checkpoint that has
            another hash.

    Attributes:
        early_stopping: the callback that ends the training and selects the best epoch.
        history: one row per epoch. After `resume`, this includes the epochs of the earlier run.
    """

    def __init__(self, path: Path, identity: str) -> None:
        super().__init__()
        self._path, self.identity = path, identity
        # The `val_loss` that early stopping watches includes the regularisation, which still falls
        # when the cross-entropy no longer does. So fine-tuning runs longer, and becomes more
        # accurate.
        self.early_stopping = EarlyStopping()
        self.history: list[HistoryRow] = []
        self._plan: dict[str, Any] = {}
        self._metadata: dict[str, Any] = {}
        self._arrays: dict[str, NDArray[Any]] = {}

    def load(self) -> Plan | None:
        """Read the checkpoint of an earlier run and return its plan, or None if there is no file.

        Raises:
            CheckpointError: the checkpoint is damaged, or belongs to a run with other pictures,
                options or weights.
        """
        if not self._path.is_file():
            log.info(
                "--resume: there is no checkpoint at %s; starting from the beginning", self._path
            )
            return None
        content = self._path.read_bytes()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = dict(file)
            metadata = json.loads(arrays.pop("page").tobytes())
            identity = metadata["identity"]
        except Exception as error:  # NumPy and zipfile raise errors of many types
            raise CheckpointError(
                f"{self._path} is damaged or not a checkpoint ({type(error).__name__}: {error}): "
                "start without --resume, and the new run will replace the file"
            ) from error
        if identity != self.identity:
            raise CheckpointError(
                f"{self._path} belongs to a run with other pictures, options or weights: use those "
                "of the earlier run, or start without --resume"
            )
        self._metadata, self._arrays = metadata, arrays
        return Plan.from_record(metadata["plan"])

    def resume(self, model: keras.Model, plan: Plan) -> int:
        """Restore weights, optimizer, random generators and history, if a checkpoint was loaded.

        The state of early stopping is restored later, when `fit` begins.

        Returns:
            The number of completed epochs. If the earlier run completed fine-tuning, this is the
            number of epochs in the plan, even if early stopping ended fine-tuning sooner.
        """
        self._plan = plan.record()
        self.history.clear()  # an attempt with larger batches may have filled it
        if not self._metadata:
            return 0
        model.optimizer.build(model.trainable_variables)
        for at, variable in enumerate(_variables(model)):
            variable.assign(self._arrays[f"state{at}"])
        refresh_derived_state(model)
        self.history.extend(self._metadata["history"])
        epochs: int = self._metadata["epochs"]
        log.info("resuming after epoch %d, from the checkpoint %s", epochs, self._path)
        return plan.epochs if self._metadata["is_finished"] else epochs

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        if not self._metadata:
            return
        count = len(self.model.get_weights())
        best_weights = [self._arrays[f"best{at}"] for at in range(count)]
        self.early_stopping.restore(self._metadata["counters"], best_weights)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        is_finished = epoch + 1 == self._plan["epochs"] or self.early_stopping.has_stopped
        if self.model.stop_training and not is_finished:
            return  # the time budget or a loss of NaN ended the epoch early
        metadata = {
            "identity": self.identity,
            "plan": self._plan,
            "epochs": epoch + 1,
            "is_finished": is_finished,
            "history": self.history,
            "counters": self.early_stopping.counters(),
        }
        arrays = {f"state{at}": value.numpy() for at, value in enumerate(_variables(self.model))}
        for at, weights in enumerate(self.early_stopping.best_weights):
            arrays[f"best{at}"] = weights
        write(self._path, metadata, arrays)


def write(path: Path, metadata: Mapping[str, Any], arrays: dict[str, Any]) -> None:
    """Write a checkpoint to a temporary file, and then move this file to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f"{path.name}.*"):  # left by killed processes
        if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
            abandoned.unlink(missing_ok=True)
    encoded = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    with (
        tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file,
        cleanup_on_signal(Path(file.name).unlink),
    ):
        try:
            np.savez(file, page=encoded, **arrays)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _variables(model: keras.Model) -> list[Any]:
    """Return the variables of the model (weights, random generators) and of its optimizer."""
    return [*model.variables, *model.optimizer.variables]
