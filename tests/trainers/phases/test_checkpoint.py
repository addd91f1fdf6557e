from __future__ import annotations

import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from trainers.phases.checkpoint import Checkpoint, CheckpointError
from trainers.phases.plan import Plan

PLAN = Plan(6, 3, 0.01, ("why",))
X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
Y = np.eye(2, dtype=np.float32)[(X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)]


class Killed(BaseException):
    pass


def make_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    numbers = keras.Input((4,))
    hidden = keras.layers.Dropout(0.3)(keras.layers.Dense(8, "relu")(numbers))
    model = keras.Model(numbers, keras.layers.Dense(2, "softmax")(hidden))
    rate = keras.optimizers.schedules.CosineDecay(0.3, 18)
    model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy")
    return model


def fit(path: Path, identity: str = "a", resume: bool = False, kill_at: int = 99) -> keras.Model:
    """Train for six epochs, or until the epoch `kill_at` begins; return the model."""
    model, checkpoint = make_model(), Checkpoint(path, identity)
    plan = (checkpoint.load() if resume else None) or PLAN

    def kill(epoch: int, logs: dict[str, float]) -> None:
        if epoch == kill_at:
            raise Killed

    recorder = keras.callbacks.LambdaCallback(
        on_epoch_begin=kill,
        on_epoch_end=lambda epoch, logs: checkpoint.history.append({"val_loss": logs["val_loss"]}),
    )
    first_epoch = checkpoint.resume(model, plan)
    model.fit(
        X[:30],
        Y[:30],
        validation_data=(X[30:], Y[30:]),
        shuffle=False,
        batch_size=10,
        epochs=plan.epochs,
        initial_epoch=first_epoch,
        verbose=0,
        callbacks=[recorder, checkpoint.early_stopping, checkpoint],
    )
    model.recorded_history = checkpoint.history
    return model


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_a_resumed_run_has_the_results_of_an_uninterrupted_one(tmp_path: Path, epochs: int) -> None:
    uninterrupted = fit(tmp_path / "whole.npz")
    with pytest.raises(Killed):
        fit(tmp_path / "part.npz", kill_at=epochs)
    resumed = fit(tmp_path / "part.npz", resume=True)
    assert resumed.recorded_history == uninterrupted.recorded_history
    assert all(map(np.array_equal, resumed.get_weights(), uninterrupted.get_weights()))
    assert resumed.optimizer.learning_rate.numpy() == uninterrupted.optimizer.learning_rate.numpy()
    assert uninterrupted.optimizer.learning_rate.numpy() < 1e-6


@pytest.mark.slow
def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    uninterrupted = fit(tmp_path / "one.npz")
    resumed = fit(tmp_path / "one.npz", resume=True, kill_at=0)
    assert all(map(np.array_equal, resumed.get_weights(), uninterrupted.get_weights()))


@pytest.mark.slow
def test_a_checkpoint_has_the_plan_of_its_run(tmp_path: Path) -> None:
    fit(tmp_path / "one.npz")
    assert Checkpoint(tmp_path / "one.npz", "a").load() == PLAN


def test_without_a_checkpoint_there_is_no_plan(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path / "none.npz", "a").load() is None


@pytest.mark.slow
def test_the_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    fit(tmp_path / "one.npz", identity="a")
    with pytest.raises(CheckpointError, match=r"options or weights.*without --resume"):
        fit(tmp_path / "one.npz", identity="b", resume=True)
    fit(tmp_path / "one.npz", identity="b")  # without --resume it is replaced
    assert Checkpoint(tmp_path / "one.npz", "b").load() == PLAN


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    fit(tmp_path / "one.npz")
    complete = (tmp_path / "one.npz").read_bytes()
    foreign = io.BytesIO()
    np.savez(foreign, page=np.frombuffer(b"[1]", np.uint8))
    for content in (complete[: len(complete) // 2], b"x" * 500, b"PK\3\4" * 50, foreign.getvalue()):
        (tmp_path / "one.npz").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"one\.npz is damaged .*without --resume"):
            fit(tmp_path / "one.npz", resume=True)


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        fit(tmp_path / "one.npz", kill_at=2)
    content = (tmp_path / "one.npz").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        fit(tmp_path / "one.npz", resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["one.npz"]
    assert (tmp_path / "one.npz").read_bytes() == content


@pytest.mark.slow
def test_a_checkpoint_has_arrays_and_json(tmp_path: Path) -> None:
    fit(tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz", allow_pickle=False) as file:
        page = json.loads(file["page"].tobytes())
    assert page["epochs"] == 6
    assert page["counters"]["best"] == min(row["val_loss"] for row in page["history"])


def test_an_unfinished_epoch_is_not_saved(tmp_path: Path) -> None:
    """A stop by the time budget or NaN keeps the checkpoint of the last complete epoch."""
    model, checkpoint = make_model(), Checkpoint(tmp_path / "one.npz", "a")
    checkpoint.resume(model, PLAN)
    checkpoint.set_model(model)
    checkpoint.early_stopping.set_model(model)
    checkpoint.early_stopping.on_train_begin()
    model.fit(X[:30], Y[:30], verbose=0)
    checkpoint.early_stopping.on_epoch_end(0, {"val_loss": 1.0})
    model.stop_training = True
    checkpoint.on_epoch_end(0)
    assert not (tmp_path / "one.npz").exists()
    model.stop_training = False
    checkpoint.on_epoch_end(0)
    assert (tmp_path / "one.npz").exists()


@pytest.mark.slow
def test_a_second_attempt_has_its_own_history(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        fit(tmp_path / "one.npz", kill_at=2)
    checkpoint = Checkpoint(tmp_path / "one.npz", "a")
    plan = checkpoint.load()
    assert plan
    for _ in range(2):
        assert checkpoint.resume(make_model(), plan) == 2
        assert len(checkpoint.history) == 2
