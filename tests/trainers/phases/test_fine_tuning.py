from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from plugins.base import leaf_layers
from trainers.features.frozen_features import Features
from trainers.model.classifier import Classifier, hash_weights
from trainers.phases import fine_tuning, transfer
from trainers.phases.context import TrainingContext
from trainers.phases.plan import Plan
from trainers.phases.training_loop import FineTuningResult
from trainers.progress import log

Start = Callable[..., TrainingContext]


def plan(layers: int) -> Plan:
    return Plan(1, layers, 1e-4, ())


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_fine_tuning_moves_the_last_layers_and_no_statistics(
    start: Start, monkeypatch: pytest.MonkeyPatch, layers: int
) -> None:
    run = start(strategy="fine-tune", fine_tune_epochs=2, fine_tune_layers=layers)
    monkeypatch.setattr(Classifier, "assign_weights", lambda *_: None)  # whichever is better
    body = run.network.body
    before = {layer.name: layer.get_weights() for layer in leaf_layers(body) if layer.weights}
    transfer.train(run)
    changed = [
        name
        for name, weights in before.items()
        if not all(map(np.array_equal, weights, body.get_layer(name).get_weights()))
    ]
    assert changed == [f"conv{number}" for number in range(4 - layers, 4)]


@pytest.mark.slow
def test_statistics_that_move_are_noticed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(strategy="fine-tune", fine_tune_epochs=1, fine_tune_layers=1)

    def careless(model: keras.Model, layers: int) -> list[keras.layers.Layer]:
        model.trainable = True  # as tutorials do, BatchNormalization and all
        return list(model.layers)

    monkeypatch.setattr(run.network.backbone, "fine_tune", careless)
    with pytest.raises(AssertionError, match=r"changed BatchNormalization statistics: .*norm1"):
        transfer.train(run)


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "is_kept"), [(1, True), (3, False)])
def test_frozen_layers_are_computed_once(start: Start, layers: int, is_kept: bool) -> None:
    run = start()
    network = run.network
    classifier = Classifier(
        network.backbone, network.body, network.embedder, None, hash_weights(network.body)
    )
    network.backbone.fine_tune(network.body, layers)
    tail, train, validation = fine_tuning.split_off_frozen(classifier, plan(layers), run)
    assert isinstance(train, Features) == isinstance(validation, Features) == is_kept
    rows, views = np.array([0, 3]), np.array([1, 2])
    found = tail(train.read(rows, views).astype(np.float32), training=False)
    expected = network.embedder(run.train.read(rows, views).astype(np.float32), training=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_too_little_memory_halves_the_batch_until_it_fits(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = start(strategy="fine-tune", fine_tune_epochs=1, batch_size=8)
    fit, sizes, starts = fine_tuning.fit, [], []

    def short(model: keras.Model, train: Any, *others: Any) -> FineTuningResult:
        sizes.append(len(train[0][0]))
        starts.append(model.get_weights())
        if sizes[-1] > 2:
            for weights in model.weights:  # it had begun
                weights.assign(weights + 1)
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
        return fit(model, train, *others)

    monkeypatch.setattr(fine_tuning, "fit", short)
    log.addHandler(caplog.handler)
    assert "fine-tuning" in transfer.train(run).history
    log.removeHandler(caplog.handler)
    assert sizes == [8, 4, 2]
    for again in starts[1:]:
        assert all(map(np.array_equal, starts[0], again))
    assert "too little memory for 4 pictures at a time; continuing with 2" in caplog.text
