from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from plugins.registry import resolve
from trainers import fitting, phases
from trainers.fitting import Run, class_weights

Start = Callable[..., tuple[keras.Model, Run]]


def test_checkpoints_are_kept_beside_the_bundles(start: Start) -> None:
    body, run = start(epochs=1, fine_tune_epochs=1)
    phases.train(resolve("tiny"), body, run)
    files = {path.name for path in (run.config.output / "checkpoints/classifier").iterdir()}
    assert files == {"head.npz", "fine-tuning.npz"}
    with np.load(run.config.output / "checkpoints/classifier/head.npz") as kept:
        assert kept["logits/kernel"].shape == (12, 2)


def test_uneven_classes_are_weighted_to_have_the_same_say() -> None:
    labels = np.array([0] * 6 + [1] * 2)
    np.testing.assert_allclose(class_weights(labels, 2), [8 / 12, 2.0])
    assert class_weights(np.array([0, 0, 1, 1]), 2).tolist() == [1, 1]


def test_a_checkpoint_keeps_the_best_epoch_and_nothing_half(tmp_path: Path) -> None:
    number = keras.Input((1,))
    model = keras.Model(number, keras.layers.Dense(1, name="one")(number))
    keep = fitting.Checkpoint(tmp_path / "deep/best.npz", "val_loss")
    keep.set_model(model)
    for value, loss in ((1.0, 0.5), (2.0, 0.3), (3.0, 0.4), (4.0, float("nan"))):
        model.set_weights([np.full((1, 1), value), np.zeros(1)])
        keep.on_epoch_end(0, {"val_loss": loss})
    with np.load(tmp_path / "deep/best.npz") as kept:
        assert kept["one/kernel"].item() == 2.0
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["best.npz"]


def test_a_disk_that_gets_full_at_a_checkpoint_is_an_error_to_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    keep = fitting.Checkpoint(tmp_path / "best.npz", "val_loss")
    keep.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        keep.on_epoch_end(0, {"val_loss": 0.5})
    assert list(tmp_path.iterdir()) == []


def test_recorded_losses_are_those_that_decide(start: Start) -> None:
    """Log, report and decision speak of one validation loss: that of the epoch that was kept."""
    body, run = start(epochs=3, fine_tune_epochs=2)
    trained = phases.train(resolve("tiny"), body, run)
    for phase in trained.phases:
        recorded = [row["val_loss"] for row in phase.history if row["val_loss"] is not None]
        nearest = min(recorded, key=lambda loss: abs(loss - phase.validation_loss))
        assert phase.validation_loss == pytest.approx(nearest, abs=1e-5)


def test_a_diverging_fine_tuning_is_recorded_without_nan(start: Start) -> None:
    body, run = start(epochs=3, fine_tune_epochs=2, fine_tune_learning_rate=1e30)
    trained = phases.train(resolve("tiny"), body, run)
    assert trained.decision.startswith("head")
    json.dumps(trained.phases[1].history, allow_nan=False)
    assert None in [row["val_loss"] for row in trained.phases[1].history]
