"""A loaded backbone: scaling, freezing, and unfreezing its last layers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from plugins.base import BackboneError, leaf_layers
from plugins.registry import resolve
from trainers.phases.fine_tuning import moving_statistics


def test_a_loaded_backbone_takes_pictures_and_scales_them_inside() -> None:
    backbone = resolve("tiny")
    model = backbone.load("none")
    network = backbone.build(None, 32)
    network.set_weights(model.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = network(images / 127.5 - 1, training=False)
    np.testing.assert_allclose(model(images, training=False), expected, atol=1e-5)
    assert model.output_shape == (None, 4, 4, 12)


def test_the_image_size_can_be_chosen() -> None:
    assert resolve("tiny").load("none", 64).input_shape == (None, 64, 64, 3)


def test_freezing_leaves_no_trainable_weight() -> None:
    backbone = resolve("tiny")
    model = backbone.load("none")
    backbone.freeze(model)
    assert model.trainable_weights == []


@pytest.mark.parametrize(
    ("layers", "unfrozen"),
    [(1, ["conv3"]), (2, ["conv2", "conv3"]), (99, ["conv1", "conv2", "conv3"])],
)
def test_fine_tuning_unfreezes_the_last_layers_but_no_normalisation(
    layers: int, unfrozen: list[str]
) -> None:
    backbone = resolve("tiny")
    model = backbone.load("none")
    backbone.freeze(model)
    assert [layer.name for layer in backbone.fine_tune(model, layers)] == unfrozen
    trainable = [layer.name for layer in leaf_layers(model) if layer.trainable_weights]
    assert trainable == unfrozen


def test_normalisation_inside_composite_layers_stays_frozen() -> None:
    """`model.layers` does not list the layers inside a block that is a Layer, not a Model."""

    class Block(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = keras.layers.Conv2D(4, 3, padding="same")
            self.norm = keras.layers.BatchNormalization()

        def call(self, inputs: Any) -> Any:
            return self.norm(self.conv(inputs))

    images = keras.Input((8, 8, 3))
    model = keras.Model(images, Block()(keras.layers.Conv2D(4, 3)(images)))
    unfrozen = resolve("tiny").fine_tune(model, 1)
    assert [type(layer).__name__ for layer in unfrozen] == ["Conv2D"]
    assert len(model.trainable_weights) == 2
    before = moving_statistics(model)
    assert len(before) == 2
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 8, 8, 3)), np.zeros((4, 6, 6, 4)), verbose=0)
    after = moving_statistics(model)
    assert all(np.array_equal(before[path], after[path]) for path in before)


def test_fine_tuning_no_layer_is_refused() -> None:
    backbone = resolve("tiny")
    with pytest.raises(BackboneError, match="at least 1 layer, not 0"):
        backbone.fine_tune(backbone.load("none"), 0)


def test_keras_shows_the_layers_inside_a_layer() -> None:
    """`leaf_layers` and plugins.copying use `_flatten_layers`, which is not public."""
    attention = keras.layers.MultiHeadAttention(2, 4, name="attention")
    wrapped = keras.layers.TimeDistributed(attention, name="wrapped")
    inner_layers = wrapped._flatten_layers(include_self=False, recursive=False)
    assert [layer.name for layer in inner_layers] == ["attention"]
    outer_layer, inner_layer, *_ = wrapped._flatten_layers()
    assert (outer_layer, inner_layer) == (wrapped, attention)
    attention.build((None, 3, 8), (None, 3, 8))
    names = {layer.name for layer in attention._flatten_layers(include_self=False)}
    assert {"query", "key", "value", "attention_output"} <= names
