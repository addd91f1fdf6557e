"""Numbers of 16 bits where the hardware is faster with them; weights stay in 32."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from plugins.base import leaf_layers

MIXED = "mixed_bfloat16"
"""Activations and gradients in bfloat16, which has float32's range: no scaling of the loss."""


def policy(precision: str) -> str:
    """Keras' name of what to compute in: `auto` is bfloat16 where all GPUs have units for it.

    That is from compute capability 8.0 (Ampere) on. CPUs stay at float32.
    """
    if precision == "auto":
        gpus = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        has_units = [one.get("compute_capability", (0, 0)) >= (8, 0) for one in details]
        precision = "bfloat16" if has_units and all(has_units) else "float32"
    return MIXED if precision == "bfloat16" else "float32"


def twin(model: keras.Model, policy: str) -> keras.Model:
    """A model of the same layers and weights that computes by a policy, float32 at its door.

    The model itself where it does already. After training, `model.set_weights` takes the twin's.
    """
    if policy == "float32":
        return model

    def in_policy(layer: Any) -> Any:
        if isinstance(layer, keras.layers.InputLayer):
            return layer
        is_layer = isinstance(layer, keras.layers.Layer)  # else a bare operation, without weights
        more = {"dtype": policy} if is_layer else {}
        return type(layer).from_config({**layer.get_config(), **more})

    other = keras.models.clone_model(model, clone_function=in_policy)
    take_over(other, model)
    return other


def take_over(clone: keras.Model, model: keras.Model) -> None:
    """Give a clone the model's weights, and freeze in it what is frozen there: Keras forgets that
    of layers within layers."""
    clone.set_weights(model.get_weights())
    for one, other in zip(leaf_layers(clone), leaf_layers(model), strict=True):
        one.trainable = other.trainable
