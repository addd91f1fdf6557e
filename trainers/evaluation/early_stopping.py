"""Early stopping: ends training when the validation loss stops falling, and keeps the best weights.

Fine-tuning uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

PATIENCE = 6
"""Training ends after this many epochs in a row without a new lowest validation loss."""
_COUNTERS = ("wait", "best", "best_epoch", "stopped_epoch")
"""Attributes of Keras' callback. Together with the best weights, they are its complete state."""


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras' EarlyStopping with the settings of Graft, and with a state that can be saved.

    When training ends, the model gets the weights of the epoch with the lowest `val_loss`. The
    checkpoint of fine-tuning contains the state, which Keras' own BackupAndRestore does not save.
    """

    def __init__(self) -> None:
        super().__init__("val_loss", mode="min", patience=PATIENCE, restore_best_weights=True)

    @property
    def selected_epoch(self) -> int:
        """The epoch whose weights the model gets, counted from 1; 0 before the first validation."""
        return 0 if self.best_weights is None else int(self.best_epoch) + 1

    @property
    def has_stopped(self) -> bool:
        """Whether this callback has ended the training."""
        return bool(self.stopped_epoch > 0)

    def counters(self) -> dict[str, Any]:
        """Return the state, except for the best weights, as values that JSON supports."""
        values = {name: getattr(self, name) for name in _COUNTERS}
        return {
            name: float(value) if isinstance(value, np.floating) else value
            for name, value in values.items()
        }

    def restore(self, counters: Mapping[str, Any], best_weights: list[NDArray[Any]]) -> None:
        """Restore a saved state. Call it after `fit` has begun, because `fit` resets the state."""
        for name, value in counters.items():
            setattr(self, name, value)
        self.best_weights = best_weights
