"""Every way to copy a network or its weights gives the same feature maps, for every family."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from plugins.copying import assign_weights, clone, load_state, refresh_derived_state
from plugins.registry import families
from plugins.weights import load_weights
from tests.trainers.conformance.conftest import smallest_mark
from trainers.phases import replicas
from trainers.phases.checkpoint import Checkpoint
from trainers.phases.plan import Plan
from trainers.resources import precision

MEAN, VARIANCE = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]) ** 2
"""Mean and variance of ImageNet's pixels (0 to 1), as in the weights of EfficientNet."""
TOLERANCES = {"bfloat16": 0.1}
"""Allowed difference of feature maps relative to their norm; for all other methods it is 1e-6.
For comparison: EfficientNet B0 without its normalisation differs by 0.78."""


def smallest_variants() -> Iterator[Any]:
    """The smallest variant of every family, with its mark."""
    for name, family in families().items():
        if family.__module__.startswith("plugins."):
            variant, _ = min(family.variants.items(), key=lambda item: item[1].parameters)
            yield pytest.param(name, variant, id=f"{name}:{variant}", marks=smallest_mark(name))


def load_normalized(name: str, variant: str) -> keras.Model:
    """Load a network with random weights, and set ImageNet's statistics in Normalization layers."""
    keras.utils.set_random_seed(0)
    backbone = families()[name](variant)
    model = backbone.load("none", max(64, backbone.variants[variant].min_image_size))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            layer.adapt_mean.assign(MEAN)
            layer.adapt_variance.assign(VARIANCE)
    refresh_derived_state(model)
    return model


def copy_by_strategy(model: keras.Model) -> keras.Model:
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        return replicas.replicate(model)


def transfer_by_file(suffix: str) -> Callable[[keras.Model, keras.Model, Path], None]:
    def transfer(target: keras.Model, model: keras.Model, folder: Path) -> None:
        path = folder / f"network{suffix}"
        model.save(path) if suffix == ".keras" else model.save_weights(path)
        load_weights(target, path, "a network")
        path.unlink()

    return transfer


def transfer_by_checkpoint(target: keras.Model, model: keras.Model, folder: Path) -> None:
    plan = Plan(2, 1, 0.01, ())
    for network in (model, target):
        network.compile("sgd", "mse")
    writer = Checkpoint(folder / "checkpoint.npz", "a")
    writer.resume(model, plan)
    for callback in (writer, writer.early_stopping):
        callback.set_model(model)
    model.optimizer.build(model.trainable_variables)
    writer.early_stopping.on_train_begin()
    writer.early_stopping.on_epoch_end(0, {"val_loss": 1.0})
    writer.on_epoch_end(0)
    reader = Checkpoint(folder / "checkpoint.npz", "a")
    assert reader.load() == plan
    assert reader.resume(target, plan) == 1


COPIES: dict[str, Callable[[keras.Model], keras.Model]] = {
    "clone": clone,
    "bfloat16": lambda model: precision.with_policy(model, precision.POLICIES["bfloat16"]),
    "strategy": copy_by_strategy,
}
TRANSFERS: dict[str, Callable[[keras.Model, keras.Model, Path], None]] = {
    "weights": lambda target, model, folder: assign_weights(target, model.get_weights()),
    "network": lambda target, model, folder: load_state(target, model),
    ".keras": transfer_by_file(".keras"),
    ".weights.h5": transfer_by_file(".weights.h5"),
    "checkpoint": transfer_by_checkpoint,
}


@pytest.mark.parametrize(("name", "variant"), list(smallest_variants()))
def test_every_copy_gives_the_same_feature_maps(name: str, variant: str, tmp_path: Path) -> None:
    model = load_normalized(name, variant)
    images = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:]))

    def predict(network: keras.Model) -> Any:
        maps = network(images.astype(np.float32), training=False)
        return keras.ops.convert_to_numpy(maps).astype(np.float32)

    expected = predict(model)
    norm = float(np.linalg.norm(expected))
    differences = {
        method: np.linalg.norm(predict(copy(model)) - expected) for method, copy in COPIES.items()
    }
    target, empty = clone(model), [weight * 0 for weight in model.get_weights()]
    for method, transfer in TRANSFERS.items():
        assign_weights(target, empty)
        assert np.linalg.norm(predict(target) - expected) > 0.5 * norm
        transfer(target, model, tmp_path)
        differences[method] = np.linalg.norm(predict(target) - expected)
    allowed = {method: TOLERANCES.get(method, 1e-6) * norm for method in differences}
    too_large = {
        method: difference
        for method, difference in differences.items()
        if not difference <= allowed[method]
    }
    assert too_large == {}
