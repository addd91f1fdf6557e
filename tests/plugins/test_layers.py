"""The layers of a network in order; the last ones are unfrozen, and blocks as a whole."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from plugins.layers import leaf_layers, unfreeze_last
from trainers.phases.fine_tuning import moving_statistics


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
    unfrozen = unfreeze_last(model, 1)
    assert [type(layer).__name__ for layer in unfrozen] == ["Conv2D"]
    assert len(model.trainable_weights) == 2
    before = moving_statistics(model)
    assert len(before) == 2
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 8, 8, 3)), np.zeros((4, 6, 6, 4)), verbose=0)
    after = moving_statistics(model)
    assert all(np.array_equal(before[path], after[path]) for path in before)


def test_a_block_is_unfrozen_as_a_whole_or_not_at_all() -> None:
    """Its own weights, which belong to none of the layers in it, are frozen with it."""

    class Block(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = keras.layers.Dense(4), keras.layers.Dense(4)

        def build(self, _: Any) -> None:
            self.token = self.add_weight(shape=(4,), name="token")

        def call(self, inputs: Any) -> Any:
            return self.second(self.first(inputs)) + self.token

    inputs, blocks = keras.Input((4,)), [Block(), Block()]
    nested = keras.Sequential([keras.Input((4,)), blocks[1]])
    model = keras.Model(inputs, nested(blocks[0](inputs)))
    assert unfreeze_last(model, 1) == [blocks[1].first, blocks[1].second]
    assert [len(block.trainable_weights) for block in blocks] == [0, 5]
    assert [layer.name for layer in leaf_layers(blocks[0])] == [
        blocks[0].first.name,
        blocks[0].second.name,
    ]
    assert len(unfreeze_last(model, 3)) == 4


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
