"""Copies of a network, and weights put into one: what a layer derives from weights follows.

`set_weights` alone is not enough. Keras' Normalization computes its constants when it is built or
loaded, and a layer of a stranger's may do the same. The one contract that every layer keeps is
that of saved files, `save_own_variables` and `load_own_variables`, so weights travel by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def clone(model: keras.Model, policy: str | None = None) -> keras.Model:
    """A model of its own layers that answers as `model` does, and trains what trains there.

    Its variables are those of the distribution strategy in whose scope this is called.

    Args:
        policy: Keras' name of what to compute in, such as "mixed_bfloat16"; None for the same.
            Inputs keep their type.
    """
    import keras

    def rebuild(operation: Any) -> Any:
        is_layer = isinstance(operation, keras.layers.Layer)  # else a bare operation, as `ops` are
        is_door = isinstance(operation, keras.layers.InputLayer)
        more = {"dtype": policy} if policy and is_layer and not is_door else {}
        return type(operation).from_config({**operation.get_config(), **more})

    copy = keras.models.clone_model(model, clone_function=rebuild, recursive=True)
    fill_from(copy, model)
    return copy


def fill_from(model: keras.layers.Layer, other: keras.layers.Layer) -> None:
    """Give a network the state of one of the same layers, and freeze what is frozen there."""
    for layer, twin in zip(model._flatten_layers(), other._flatten_layers(), strict=True):
        store: dict[str, Any] = {}
        twin.save_own_variables(store)
        layer.load_own_variables(store)
        layer.trainable = twin.trainable  # those around a layer come before it


def fill(model: keras.layers.Layer, weights: Sequence[Any]) -> None:
    """Give a network or a layer weights, in the order of its `get_weights()`.

    Raises:
        ValueError: their number or a shape is another one.
    """
    model.set_weights(weights)
    refresh(model)


def refresh(model: keras.layers.Layer) -> None:
    """Have every layer derive anew what it derives from its weights, which were just assigned."""
    fill_from(model, model)
