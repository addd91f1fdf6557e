"""Finds the layers of a network in order, and unfreezes the last of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def unfreeze_last(model: keras.Model, layers: int) -> list[keras.layers.Layer]:
    """Unfreeze the last `layers` layers, freeze all others, and return the unfrozen ones.

    BatchNormalization and layers without trainable weights do not count. A block (a layer that
    consists of layers, such as a transformer block) is unfrozen as a whole, so more than `layers`
    layers may be unfrozen. If fewer than `layers` layers count, all of these are unfrozen.

    BatchNormalization always stays frozen. Inside `fit`, its moving statistics stay unchanged only
    with `trainable = False`; `training=False` is not enough (keras#20285).
    """
    import keras

    model.trainable = False  # Keras does nothing if the value of a model stays the same
    model.trainable = True  # a layer can be trainable only inside a trainable model
    unfrozen: list[keras.layers.Layer] = []
    for block in reversed(list(_blocks(model))):
        leaves = list(leaf_layers(block)) or [block]
        norms = [leaf for leaf in leaves if isinstance(leaf, keras.layers.BatchNormalization)]
        counted = [leaf for leaf in leaves if leaf.trainable_weights and leaf not in norms]
        if len(unfrozen) < layers and counted:
            unfrozen = counted + unfrozen
            for norm in norms:
                norm.trainable = False
        else:
            block.trainable = False
    return unfrozen


def leaf_layers(model: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yield all layers of a model, or of a layer that consists of layers, in order.

    Nested models and composite layers are replaced by the layers inside them.
    """
    import keras

    for layer in model.layers if isinstance(model, keras.Model) else _sublayers(model):
        if isinstance(layer, keras.Model) or _sublayers(layer):
            yield from leaf_layers(layer)
        else:
            yield layer


def _blocks(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a model in order. Nested models are replaced by the layers in them."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _blocks(layer)
        else:
            yield layer


def _sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the layers directly inside a layer. Keras has no public function for this."""
    return list(layer._flatten_layers(include_self=False, recursive=False))
