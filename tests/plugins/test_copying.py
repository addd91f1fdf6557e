"""Copies give the outputs of their originals, even if layers derive state from weights."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from plugins.copying import assign_weights, clone, load_state, refresh_derived_state

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(4, 8, 8, 3)).astype(np.float32)


class Block(keras.layers.Layer):
    """A layer made of layers, as in backbones of other packages."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.norm = keras.layers.Normalization()
        self.convolution = keras.layers.Conv2D(4, 3, padding="same")

    def build(self, shape: tuple[int, ...]) -> None:
        self.norm.build(shape)
        self.convolution.build(shape)

    def call(self, inputs: Any) -> Any:
        return self.convolution(self.norm(inputs))


class DerivedNumber(keras.layers.Layer):
    """Derives a number from its weight, and recomputes it in `load_own_variables`."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.scale = self.add_weight(shape=(), initializer="ones", trainable=False)
        self.half = 0.5

    def load_own_variables(self, store: dict[str, Any]) -> None:
        super().load_own_variables(store)
        self.half = float(self.scale.numpy()) / 2

    def call(self, inputs: Any) -> Any:
        return inputs * self.half


class UnweightedState(keras.layers.Layer):
    """Has state that is not a weight, saved by `save_own_variables`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.number = np.float32(0)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        store["number"] = self.number

    def load_own_variables(self, store: dict[str, Any]) -> None:
        self.number = store["number"]

    def call(self, inputs: Any) -> Any:
        return inputs + self.number


def build_network() -> keras.Model:
    """Build a network with Normalization in a nested model, a composite layer and a Sequential."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    scaled = layers.Rescaling(np.array([2.0, 3, 1]), np.array([0.1, 0.2, 0.3]))(inputs)
    nested = keras.Model(inputs, layers.Normalization()(scaled), name="nested")
    images = keras.Input((8, 8, 3))
    tail = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Normalization(),
            layers.BatchNormalization(),
            DerivedNumber(),
        ]
    )
    model = keras.Model(images, tail(UnweightedState(name="state")(Block()(nested(images)))))
    assign_weights(model, [np.abs(RNG.normal(1, 0.3, weight.shape)) for weight in model.weights])
    model.get_layer("state").number = np.float32(3)
    return model


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build_network()


def predict(model: keras.Model) -> Any:
    return keras.ops.convert_to_numpy(model(IMAGES, training=False))


def test_a_clone_gives_the_outputs_of_its_original(model: keras.Model) -> None:
    np.testing.assert_array_equal(predict(clone(model)), predict(model))


def test_a_clone_may_compute_with_another_dtype(model: keras.Model) -> None:
    copy = clone(model, "mixed_bfloat16")
    actual, expected = predict(copy).astype(np.float32), predict(model)
    assert 0 < np.abs(actual - expected).max() < 0.05 * np.abs(expected).max()
    assert {weight.dtype for weight in copy.trainable_weights} == {"float32"}


@pytest.mark.parametrize(
    "copy",
    [
        lambda target, model: assign_weights(target, model.get_weights()),
        load_state,
    ],
    ids=["assign_weights", "load_state"],
)
def test_derived_state_is_recomputed(
    model: keras.Model, copy: Callable[[keras.Model, keras.Model], None]
) -> None:
    target = clone(model)
    assign_weights(target, [weight * 0 + 1 for weight in model.get_weights()])
    assert np.abs(predict(target) - predict(model)).max() > 0.1
    copy(target, model)
    np.testing.assert_array_equal(predict(target), predict(model))


def test_refreshing_recomputes_derived_state(model: keras.Model) -> None:
    copy = clone(model)
    for weight in copy.weights:
        weight.assign(weight * 2)
    output_before = predict(copy)
    refresh_derived_state(copy)
    assert np.abs(predict(copy) - output_before).max() > 0.1


def test_frozen_layers_are_frozen_in_a_clone() -> None:
    model = build_network()
    model.get_layer("nested").trainable = False
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization | keras.layers.Normalization):
            layer.trainable = False
    expected = [layer.trainable for layer in model._flatten_layers()]
    assert not all(expected)
    copy = clone(model)
    assert [layer.trainable for layer in copy._flatten_layers()] == expected
    assert len(copy.trainable_weights) == len(model.trainable_weights) == 2


def test_weights_of_another_shape_are_refused(model: keras.Model) -> None:
    with pytest.raises(ValueError, match="weight"):
        assign_weights(clone(model), model.get_weights()[:-1])


def test_only_two_modules_use_the_copy_functions_of_keras() -> None:
    """`set_weights` and `clone_model` lose state that layers derive from weights."""
    calls = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("plugins", "trainers", "examples")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("set_weights", "clone_model")
    }
    # trainers/model/graph.py clones a model only to see the calls of its layers.
    assert {call.split(":")[0] for call in calls} == {
        "plugins/copying.py",
        "trainers/model/graph.py",
    }
