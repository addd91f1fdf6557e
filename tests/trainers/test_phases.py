from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from plugins.base import leaf_layers
from plugins.registry import resolve
from trainers import phases
from trainers.config import ConfigError
from trainers.features import Features
from trainers.fitting import Phase, Run
from trainers.model import Classifier, embedder

Start = Callable[..., tuple[keras.Model, Run]]


def test_the_head_learns_and_the_backbone_stays(start: Start) -> None:
    body, run = start(epochs=40, learning_rate=0.05, fine_tune_epochs=0)
    before = body.get_weights()
    trained = phases.train(resolve("tiny"), body, run)
    (head,) = trained.phases
    assert head.validation_accuracy == 1.0
    assert head.validation_loss < 0.5 * np.log(2)
    assert all(np.array_equal(a, b) for a, b in zip(before, body.get_weights(), strict=True))
    assert set(head.history[0]) >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    images = run.validation.images[run.validation.rows].astype(np.float32)
    answers = np.asarray(trained.classifier.outputs()(images, training=False)["probabilities"])
    assert (answers.argmax(axis=1) == run.validation_labels).all()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_fine_tuning_moves_the_last_layers_and_no_statistics(
    start: Start, monkeypatch: pytest.MonkeyPatch, layers: int
) -> None:
    body, run = start(epochs=3, fine_tune_epochs=2, fine_tune_layers=layers)
    monkeypatch.setattr(Classifier, "set_weights", lambda *_: None)  # whichever phase is better
    before = {layer.name: layer.get_weights() for layer in leaf_layers(body) if layer.weights}
    phases.train(resolve("tiny"), body, run)
    changed = [
        name
        for name, weights in before.items()
        if not all(map(np.array_equal, weights, body.get_layer(name).get_weights()))
    ]
    assert changed == [f"conv{number}" for number in range(4 - layers, 4)]


def test_statistics_that_move_are_noticed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    body, run = start(epochs=1, fine_tune_epochs=1, fine_tune_layers=1)
    backbone = resolve("tiny")

    def careless(model: keras.Model, layers: int) -> list[keras.layers.Layer]:
        model.trainable = True  # as tutorials do, BatchNormalization and all
        return list(model.layers)

    monkeypatch.setattr(backbone, "fine_tune", careless)
    with pytest.raises(AssertionError, match=r"moved BatchNormalization statistics: .*norm1"):
        phases.train(backbone, body, run)


@pytest.mark.parametrize(("tuned_loss", "shipped"), [(0.2, "fine-tuning"), (0.4, "head")])
def test_the_phase_with_the_lower_validation_loss_ships(
    start: Start, monkeypatch: pytest.MonkeyPatch, tuned_loss: float, shipped: str
) -> None:
    body, run = start(epochs=1, fine_tune_epochs=1)
    train_head = phases.train_head

    def head_at_03(*arguments: Any) -> tuple[keras.Model, Phase]:
        return train_head(*arguments)[0], Phase("head", 0.3, 0.8, [])

    def move_everything(classifier: Classifier, *_: object) -> Phase:
        classifier.set_weights([weight + 1 for weight in classifier.weights()])
        return Phase("fine-tuning", tuned_loss, 0.9, [])

    before = body.get_weights()
    monkeypatch.setattr(phases, "train_head", head_at_03)
    monkeypatch.setattr(phases, "fine_tune", move_everything)
    trained = phases.train(resolve("tiny"), body, run)
    assert trained.decision.startswith(f"{shipped} (validation loss")
    moved = not np.array_equal(before[0], trained.classifier.weights()[0])
    assert moved == (shipped == "fine-tuning")


@pytest.mark.parametrize(("layers", "is_kept"), [(1, True), (3, False)])
def test_what_stays_frozen_is_computed_once(start: Start, layers: int, is_kept: bool) -> None:
    body, run = start(fine_tune_layers=layers)
    embed = embedder(body)
    tail, inputs = phases.split_off_frozen(resolve("tiny"), body, embed, run)
    assert isinstance(inputs[0], Features) == is_kept
    rows, views = np.array([0, 3]), np.array([1, 0])
    found = tail(inputs[0].read(rows, views).astype(np.float32), training=False)
    expected = embed(run.train.read(rows, views).astype(np.float32), training=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_head_that_diverges_is_not_shipped(start: Start) -> None:
    body, run = start(epochs=2, learning_rate=1e30)
    with pytest.raises(ConfigError, match=r"--learning-rate \(=1e\+30\) is too high"):
        phases.train(resolve("tiny"), body, run)


def test_fine_tuning_can_be_switched_off(start: Start) -> None:
    body, run = start(epochs=1, fine_tune_epochs=0)
    trained = phases.train(resolve("tiny"), body, run)
    assert [phase.name for phase in trained.phases] == ["head"]
    assert "switched off" in trained.decision


def test_two_pictures_a_class_are_enough_to_run(start: Start) -> None:
    body, run = start(red=2, blue=2, epochs=1, fine_tune_epochs=0)
    assert len(run.train) == len(run.validation) == 2
    assert phases.train(resolve("tiny"), body, run).phases
