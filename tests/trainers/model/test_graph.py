"""Networks that are split in two, with graphs that no built-in backbone has."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from trainers.model.graph import split_at_trainable

IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)


def convolution(name: str, *, trains: bool = False) -> Any:
    return layers.Conv2D(3, 3, padding="same", trainable=trains, name=name)


def straight(images: Any) -> Any:
    return convolution("b", trains=True)(keras.ops.relu(convolution("a")(images)))


def shared(images: Any) -> Any:
    """The frozen layer is called twice; the trainable one follows the second call."""
    frozen = convolution("a")
    return convolution("b", trains=True)(layers.ReLU(name="last")(frozen(frozen(images))))


def bypassed(images: Any) -> Any:
    """The trainable layer is followed by a sum with its input."""
    first = convolution("a")(images)
    return layers.Add()([first, convolution("c", trains=True)(convolution("b")(first))])


def from_the_input(images: Any) -> Any:
    return layers.Add()([images, convolution("b", trains=True)(convolution("a")(images))])


def nested(images: Any) -> Any:
    block_input = keras.Input((8, 8, 3))
    block = keras.Model(block_input, convolution("a")(block_input), name="last")
    return convolution("b", trains=True)(block(images))


@pytest.mark.parametrize(
    ("network", "last_layer"),
    [
        (straight, "relu"),
        (shared, "last"),
        (bypassed, "a"),
        (from_the_input, None),
        (nested, "last"),
    ],
)
def test_the_parts_compute_the_model_and_the_frozen_one_is_as_large_as_possible(
    network: Any, last_layer: str | None
) -> None:
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, network(images))
    frozen, trained = split_at_trainable(model)
    assert frozen.trainable_weights == []
    assert [id(weight) for weight in trained.trainable_weights] == [
        id(weight) for weight in model.trainable_weights
    ]
    np.testing.assert_allclose(trained(frozen(IMAGES)), model(IMAGES), atol=1e-6)
    operation = frozen.operations[-1]
    assert (
        operation.name.startswith(last_layer)
        if last_layer
        else isinstance(operation, layers.InputLayer)
    )


@pytest.mark.parametrize(
    ("max_values", "channels"), [(math.inf, 9), (8 * 8 * 9, 9), (8 * 8 * 8, 4), (8 * 8 * 3, 2)]
)
def test_the_model_is_split_earlier_where_its_tensors_are_smaller(
    max_values: float, channels: int
) -> None:
    images = outputs = keras.Input((8, 8, 1))
    for width in (16, 2, 4, 9):
        outputs = layers.Conv2D(width, 3, padding="same", trainable=False)(outputs)
    model = keras.Model(images, convolution("last", trains=True)(outputs))
    frozen, trained = split_at_trainable(model, max_values)
    assert frozen.output_shape[-1] == channels
    pictures = IMAGES[..., :1]
    np.testing.assert_allclose(trained(frozen(pictures)), model(pictures), atol=1e-6)


def test_all_tensors_are_too_large_and_the_smallest_is_chosen() -> None:
    images = keras.Input((8, 8, 3))
    narrow = layers.Conv2D(2, 3, padding="same", trainable=False)(images)
    wide = layers.Conv2D(9, 3, padding="same", trainable=False)(narrow)
    model = keras.Model(images, convolution("last", trains=True)(wide))
    frozen, _ = split_at_trainable(model, max_values=10)
    assert frozen.output_shape[-1] == 2


def test_a_model_can_be_split_several_times() -> None:
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, straight(images))
    first, second = split_at_trainable(model), split_at_trainable(model)
    assert [len(part.operations) for part in first] == [len(part.operations) for part in second]
    assert first[0](IMAGES).shape == second[0](IMAGES).shape
