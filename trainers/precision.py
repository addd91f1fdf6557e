"""Numbers of 16 bits where the hardware is faster with them; weights stay in 32."""

from __future__ import annotations

import keras
import tensorflow as tf

from plugins.copying import clone

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

    The model itself where it does already.
    """
    return model if policy == "float32" else clone(model, policy)
