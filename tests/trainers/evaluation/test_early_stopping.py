from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np

from trainers.evaluation.early_stopping import PATIENCE, EarlyStopping

LOSSES = (3.0, 2.0, *[2.5] * (PATIENCE + 3))


class Model(SimpleNamespace):
    """A model whose only weight is the number of the epoch, from 1."""

    def get_weights(self) -> list[np.ndarray]:
        return [np.array(self.epoch)]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.restored = int(weights[0])


def start_training() -> tuple[EarlyStopping, Model]:
    stopping, model = EarlyStopping(), Model(optimizer=None, epoch=0, stop_training=False)
    stopping.set_model(model)
    stopping.on_train_begin()
    return stopping, model


def run_epochs(stopping: EarlyStopping, model: Model, first_epoch: int = 0, count: int = 99) -> int:
    """Run epochs until training stops; return the number of the last epoch, from 1."""
    for epoch, loss in list(enumerate(LOSSES))[first_epoch : first_epoch + count]:
        model.epoch = epoch + 1
        stopping.on_epoch_end(epoch, {"val_loss": np.float64(loss)})
        if model.stop_training:
            break
    return int(model.epoch)


def test_training_ends_after_the_patience_with_the_best_weights() -> None:
    stopping, model = start_training()
    assert stopping.selected_epoch == 0
    assert run_epochs(stopping, model) == 2 + PATIENCE
    assert stopping.has_stopped
    assert stopping.selected_epoch == 2
    stopping.on_train_end()
    assert model.restored == 2


def test_a_restored_state_stops_at_the_same_epoch() -> None:
    stopping, model = start_training()
    run_epochs(stopping, model, count=4)
    assert not stopping.has_stopped
    counters = json.loads(json.dumps(stopping.counters()))
    restored, model = start_training()
    restored.restore(counters, stopping.best_weights)
    assert run_epochs(restored, model, first_epoch=4) == 2 + PATIENCE
    assert restored.selected_epoch == 2
