"""Copies networks and assigns weights, including what layers derive from their weights.

Keras' `set_weights` alone is not enough: `Normalization`, for example, computes its constants only
when it is built or loaded from a file, and so may layers of other packages. Saved files work for
every layer, by `save_own_variables` and `load_own_variables`. The functions here use the same two
methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def clone(model: keras.Model, policy: str | None = None) -> keras.Model:
    """Make a copy with layers of its own: same outputs, same state, same frozen layers.

    Called in the scope of a distribution strategy, it makes its variables there.

    Args:
        policy: Keras' name of the dtype policy to compute with, such as "mixed_bfloat16"; None
            for that of the model. Inputs keep their dtype.
    """
    import keras

    def rebuild(operation: Any) -> Any:
        is_layer = isinstance(operation, keras.layers.Layer)  # otherwise one of `keras.ops`
        is_input = isinstance(operation, keras.layers.InputLayer)
        overrides = {"dtype": policy} if policy and is_layer and not is_input else {}
        return type(operation).from_config({**operation.get_config(), **overrides})

    copy = keras.models.clone_model(model, clone_function=rebuild, recursive=True)
    load_state(copy, model)
    return copy


def load_state(model: keras.layers.Layer, source: keras.layers.Layer) -> None:
    """Load the state of every layer from another model, and whether it is trainable.

    Args:
        model: the layer or model that is changed.
        source: one that is made of the same layers.
    """
    pairs = zip(model._flatten_layers(), source._flatten_layers(), strict=True)
    for layer, source_layer in pairs:
        store: dict[str, Any] = {}
        source_layer.save_own_variables(store)
        layer.load_own_variables(store)
        layer.trainable = source_layer.trainable  # containers come before their layers


def assign_weights(model: keras.layers.Layer, weights: Sequence[Any]) -> None:
    """Assign weights to a model or layer, in the order of its `get_weights()`.

    Raises:
        ValueError: the number of weights or a shape differs.
    """
    model.set_weights(weights)
    refresh_derived_state(model)


def refresh_derived_state(model: keras.layers.Layer) -> None:
    """Make every layer recompute what it derives from its weights, after they were assigned."""
    load_state(model, model)
