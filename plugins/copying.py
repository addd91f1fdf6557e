"""Copies networks and assigns weights; updates the constants that layers derive from weights.

Keras' `set_weights` alone does not update such constants. The layer `Normalization`, for example,
computes them from its weights, but only when it is built or loaded from a file. Layers of other
packages may do the same. To save a layer to a file, Keras calls the layer's method
`save_own_variables`. To load it, Keras calls `load_own_variables`, which also updates the
constants. The functions here call these two methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def clone(model: keras.Model, policy: str | None = None) -> keras.Model:
    """Copy a model. The copy has its own layers and variables.

    It has the same values of variables, frozen layers and outputs as the model. In the scope of a
    distribution strategy, the strategy creates the variables of the copy.

    Args:
        policy: dtype policy of the copy, such as "mixed_bfloat16"; None keeps the policy of the
            model. Another policy rounds the outputs differently. Inputs always keep their dtype.
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
    """Copy the weights and the `trainable` flag of every layer of `source` to `model`.

    Args:
        model: the layer or model that is changed.
        source: a layer or model of the same structure.
    """
    pairs = zip(model._flatten_layers(), source._flatten_layers(), strict=True)
    for layer, source_layer in pairs:
        store: dict[str, Any] = {}
        source_layer.save_own_variables(store)
        layer.load_own_variables(store)
        # Setting the flag of a model sets the flags of all its layers. The model comes before its
        # layers here, so their own flags are set last.
        layer.trainable = source_layer.trainable


def assign_weights(model: keras.layers.Layer, weights: Sequence[Any]) -> None:
    """Assign weights to a model or layer, in the order in which `get_weights()` returns them.

    Raises:
        ValueError: the number of weights or one of their shapes is wrong.
    """
    model.set_weights(weights)
    refresh_derived_state(model)


def refresh_derived_state(model: keras.layers.Layer) -> None:
    """Make every layer recompute the constants that it derives from its weights.

    Call this function after changing weights without `assign_weights` or `load_state`.
    """
    load_state(model, model)
