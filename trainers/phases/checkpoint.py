"""The state of fine-tuning after each epoch, in one file: --resume continues from there."""

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
from trainers.phases.plan import Plan
from trainers.progress import log

PATIENCE = 6
"""Fine-tuning ends after so many epochs without a lower validation loss."""
_COUNTERS = ("wait", "best", "best_epoch", "stopped_epoch")
"""The state of EarlyStopping, which Keras' own BackupAndRestore does not keep."""
_ABANDONED_SECONDS = 60

Row = dict[str, float | None]


class CheckpointError(GraftError):
    """The checkpoint is damaged, or of a run with other data, options or weights."""


class Checkpoint(keras.callbacks.Callback):
    """A callback that saves the whole state of training after each epoch, early stopping included.

    It must follow `stopping` among the callbacks: it saves what that has decided, and restores its
    state when `fit` begins, which resets it. The optimizer's steps determine the learning rate.

    Args:
        path: the file, which has NumPy arrays and JSON. HDF5 would end the process by a signal on a
            full disk, and its lock stops a second run of the same name.
        identity: a hash of data, options and weights.
    """

    def __init__(self, path: Path, identity: str) -> None:
        super().__init__()
        self._path, self.identity = path, identity
        # This loss includes the penalties, which still fall after the cross-entropy has stopped:
        # fine-tuning goes on for longer and becomes more accurate.
        self.stopping = keras.callbacks.EarlyStopping(
            "val_loss", mode="min", patience=PATIENCE, restore_best_weights=True
        )
        self.history: list[Row] = []
        self._plan: dict[str, Any] = {}
        self._metadata: dict[str, Any] = {}
        self._arrays: dict[str, NDArray[Any]] = {}

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, whose weights the model has; 0 if no epoch had a finite loss."""
        has_any = self.stopping.best_weights is not None
        return int(self.stopping.best_epoch) + 1 if has_any else 0

    def load(self) -> Plan | None:
        """Read the checkpoint of an earlier run; return its plan, or None if there is none.

        Raises:
            CheckpointError: it is damaged, or of a run with other data, options or weights.
        """
        if not self._path.is_file():
            log.info("no checkpoint at %s: starting from the beginning", self._path)
            return None
        content = self._path.read_bytes()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = dict(file)
            metadata = json.loads(arrays.pop("page").tobytes())
            identity = metadata["identity"]
        except Exception as error:  # which type numpy and zipfile raise depends on the damage
            raise CheckpointError(
                f"{self._path} is damaged or not a checkpoint ({type(error).__name__}: {error}): "
                "start without --resume, which replaces it"
            ) from error
        if identity != self.identity:
            raise CheckpointError(
                f"{self._path} belongs to a run with other pictures, options or weights: repeat "
                "those, or start without --resume"
            )
        self._metadata, self._arrays = metadata, arrays
        return Plan.from_record(metadata["plan"])

    def resume(self, model: keras.Model, plan: Plan) -> int:
        """Restore weights, optimizer and random state; `fit` restores early stopping.

        Returns:
            The number of epochs that are done; all of the plan's if that run had finished.
        """
        self._plan = plan.record()
        self.history.clear()  # of an attempt with larger batches
        if not self._metadata:
            return 0
        model.optimizer.build(model.trainable_variables)
        for at, variable in enumerate(_variables(model)):
            variable.assign(self._arrays[f"state{at}"])
        refresh_derived_state(model)
        self.history.extend(self._metadata["history"])
        epochs: int = self._metadata["epochs"]
        log.info("resuming after epoch %d, from %s", epochs, self._path)
        return plan.epochs if self._metadata["is_finished"] else epochs

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        if not self._metadata:
            return
        for name, value in self._metadata["counters"].items():
            setattr(self.stopping, name, value)
        count = len(self.model.get_weights())
        self.stopping.best_weights = [self._arrays[f"best{at}"] for at in range(count)]

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        is_finished = epoch + 1 == self._plan["epochs"] or self.stopping.stopped_epoch > 0
        if self.model.stop_training and not is_finished:
            return  # the time budget or a NaN ended the epoch early
        metadata = {
            "identity": self.identity,
            "plan": self._plan,
            "epochs": epoch + 1,
            "is_finished": is_finished,
            "history": self.history,
            "counters": {name: _to_json(getattr(self.stopping, name)) for name in _COUNTERS},
        }
        arrays = {f"state{at}": value.numpy() for at, value in enumerate(_variables(self.model))}
        for at, weights in enumerate(self.stopping.best_weights):
            arrays[f"best{at}"] = weights
        write(self._path, metadata, arrays)


def write(path: Path, metadata: Mapping[str, Any], arrays: dict[str, Any]) -> None:
    """Replace a checkpoint atomically, once the new one is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f"{path.name}.*"):  # of processes that were killed
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
    """Weights, random generators of dropout, and moments, steps and rate of the optimizer."""
    return [*model.variables, *model.optimizer.variables]


def _to_json(value: Any) -> Any:
    return float(value) if isinstance(value, np.floating) else value
