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
from trainers.phases import fine_tuning, transfer_learning
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
    context = start(strategy="fine-tune", fine_tune_epochs=2, fine_tune_layers=layers)
    monkeypatch.setattr(
        Classifier, "assign_weights", lambda *_: None
    )  # keeps the fine-tuned weights in every case
    body = context.network.body
    weights_before = {
        layer.name: layer.get_weights() for layer in leaf_layers(body) if layer.weights
    }
    transfer_learning.train(context)
    changed = [
        name
        for name, weights in weights_before.items()
        if not all(map(np.array_equal, weights, body.get_layer(name).get_weights()))
    ]
    assert changed == [f"conv{number}" for number in range(4 - layers, 4)]


@pytest.mark.slow
def test_changed_batch_normalization_statistics_are_an_error(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = start(strategy="fine-tune", fine_tune_epochs=1, fine_tune_layers=1)

    def careless(model: keras.Model, layers: int) -> list[keras.layers.Layer]:
        model.trainable = True  # as in many tutorials, BatchNormalization included
        return list(model.layers)

    monkeypatch.setattr(context.network.backbone, "fine_tune", careless)
    with pytest.raises(AssertionError, match=r"changed BatchNormalization statistics: .*norm1"):
        transfer_learning.train(context)


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "is_kept"), [(1, True), (3, False)])
def test_frozen_layers_are_computed_once(start: Start, layers: int, is_kept: bool) -> None:
    context = start()
    network = context.network
    classifier = Classifier(
        network.backbone, network.body, network.embedder, None, hash_weights(network.body)
    )
    network.backbone.fine_tune(network.body, layers)
    tail, train, validation = fine_tuning.split_off_frozen(classifier, plan(layers), context)
    assert isinstance(train, Features) == isinstance(validation, Features) == is_kept
    rows, views = np.array([0, 3]), np.array([1, 2])
    actual = tail(train.read(rows, views).astype(np.float32), training=False)
    expected = network.embedder(context.train.read(rows, views).astype(np.float32), training=False)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.slow
def test_too_little_memory_halves_the_batch_until_it_fits(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    context = start(strategy="fine-tune", fine_tune_epochs=1, batch_size=8)
    fit, sizes, start_weights = fine_tuning.fit, [], []

    def fit_with_little_memory(model: keras.Model, train: Any, *others: Any) -> FineTuningResult:
        sizes.append(len(train[0][0]))
        start_weights.append(model.get_weights())
        if sizes[-1] > 2:
            for weights in model.weights:  # as if some steps had been trained
                weights.assign(weights + 1)
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
        return fit(model, train, *others)

    monkeypatch.setattr(fine_tuning, "fit", fit_with_little_memory)
    log.addHandler(caplog.handler)
    assert "fine-tuning" in transfer_learning.train(context).history
    log.removeHandler(caplog.handler)
    assert sizes == [8, 4, 2]
    for weights in start_weights[1:]:
        assert all(map(np.array_equal, start_weights[0], weights))
    assert "too little memory for 4 pictures at a time; continuing with 2" in caplog.text
