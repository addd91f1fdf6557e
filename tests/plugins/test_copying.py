"""Copies answer as what they were copied from, whatever their layers derive from weights."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from plugins.copying import clone, fill, fill_from, refresh

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(4, 8, 8, 3)).astype(np.float32)


class Block(keras.layers.Layer):
    """A layer made of layers, as outside backbones have them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.norm = keras.layers.Normalization()
        self.convolution = keras.layers.Conv2D(4, 3, padding="same")

    def build(self, shape: tuple[int, ...]) -> None:
        self.norm.build(shape)
        self.convolution.build(shape)

    def call(self, inputs: Any) -> Any:
        return self.convolution(self.norm(inputs))


class Halved(keras.layers.Layer):
    """Derives a number of its own from its weight, and says so the way Keras wants it."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.scale = self.add_weight(shape=(), initializer="ones", trainable=False)
        self.half = 0.5

    def load_own_variables(self, store: dict[str, Any]) -> None:
        super().load_own_variables(store)
        self.half = float(self.scale.numpy()) / 2

    def call(self, inputs: Any) -> Any:
        return inputs * self.half


class Counting(keras.layers.Layer):
    """Keeps a number that is no weight, and saves it the way Keras wants it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.number = np.float32(0)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        store["number"] = self.number

    def load_own_variables(self, store: dict[str, Any]) -> None:
        self.number = store["number"]

    def call(self, inputs: Any) -> Any:
        return inputs + self.number


def network() -> keras.Model:
    """Normalizations in a nested model, in a composite layer and in a Sequential."""
    layers = keras.layers
    door = keras.Input((8, 8, 3))
    scaled = layers.Rescaling(np.array([2.0, 3, 1]), np.array([0.1, 0.2, 0.3]))(door)
    nested = keras.Model(door, layers.Normalization()(scaled), name="nested")
    images = keras.Input((8, 8, 3))
    tail = keras.Sequential(
        [keras.Input((8, 8, 4)), layers.Normalization(), layers.BatchNormalization(), Halved()]
    )
    model = keras.Model(images, tail(Counting(name="counting")(Block()(nested(images)))))
    fill(model, [np.abs(RNG.normal(1, 0.3, weight.shape)) for weight in model.weights])
    model.get_layer("counting").number = np.float32(3)
    return model


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return network()


def answers(model: keras.Model) -> Any:
    return keras.ops.convert_to_numpy(model(IMAGES, training=False))


def test_a_clone_answers_as_its_model(model: keras.Model) -> None:
    np.testing.assert_array_equal(answers(clone(model)), answers(model))


def test_a_clone_may_compute_otherwise(model: keras.Model) -> None:
    other = clone(model, "mixed_bfloat16")
    found, expected = answers(other).astype(np.float32), answers(model)
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert {weight.dtype for weight in other.trainable_weights} == {"float32"}


@pytest.mark.parametrize(
    "put",
    [
        lambda other, model: fill(other, model.get_weights()),
        fill_from,
    ],
    ids=["fill", "fill_from"],
)
def test_what_is_derived_from_weights_follows(
    model: keras.Model, put: Callable[[keras.Model, keras.Model], None]
) -> None:
    other = clone(model)
    fill(other, [weight * 0 + 1 for weight in model.get_weights()])
    assert np.abs(answers(other) - answers(model)).max() > 0.1
    put(other, model)
    np.testing.assert_array_equal(answers(other), answers(model))


def test_assigned_variables_are_followed_by_a_refresh(model: keras.Model) -> None:
    other = clone(model)
    for weight in other.weights:
        weight.assign(weight * 2)
    before = answers(other)
    refresh(other)
    assert np.abs(answers(other) - before).max() > 0.1


def test_what_is_frozen_stays_frozen_in_a_clone() -> None:
    model = network()
    model.get_layer("nested").trainable = False
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization | keras.layers.Normalization):
            layer.trainable = False
    expected = [layer.trainable for layer in model._flatten_layers()]
    assert not all(expected)
    other = clone(model)
    assert [layer.trainable for layer in other._flatten_layers()] == expected
    assert len(other.trainable_weights) == len(model.trainable_weights) == 2


def test_weights_of_another_shape_are_refused(model: keras.Model) -> None:
    with pytest.raises(ValueError, match="weight"):
        fill(clone(model), model.get_weights()[:-1])


def test_no_other_module_copies_or_fills() -> None:
    """Keras' own `set_weights` and `clone_model` leave behind what layers derive from weights."""
    calls = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("plugins", "trainers", "examples")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("set_weights", "clone_model")
    }
    assert {place.split(":")[0] for place in calls} == {"plugins/copying.py"}
