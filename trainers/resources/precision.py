"""Numbers of 16 bits where the hardware is faster with them; weights stay in 32."""

from __future__ import annotations

import keras

from plugins.copying import clone
from trainers import hardware

POLICIES = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16", "float32": "float32"}
"""Keras' names. bfloat16 has float32's range; float16 does not, so its loss is scaled."""
VOLTA = (7, 0)
"""Compute capability from which on GPUs have units for float16."""


def policy(precision: str) -> str:
    """Keras' name of what to compute in.

    `auto` is bfloat16 where all GPUs have units for it (Ampere and later), float16 where all have
    units for that, and else float32, as on CPUs.
    """
    if precision == "auto":
        oldest = min(hardware.capabilities(), default=(0, 0))
        names = ((hardware.AMPERE, "bfloat16"), (VOLTA, "float16"), ((0, 0), "float32"))
        precision = next(name for since, name in names if oldest >= since)
    return POLICIES[precision]


def scaled(optimizer: keras.optimizers.Optimizer, policy: str) -> keras.optimizers.Optimizer:
    """The optimizer, in float16 with a loss scaled so that small gradients do not become 0
    (Micikevicius et al. 2018), and smaller where large ones are no numbers.

    Keras does that by itself for models whose own policy says so; ours have it in their layers.
    """
    is_narrow = policy == POLICIES["float16"]
    return keras.optimizers.LossScaleOptimizer(optimizer) if is_narrow else optimizer


def twin(model: keras.Model, policy: str) -> keras.Model:
    """A model of the same layers and weights that computes by a policy, float32 at its door.

    The model itself where it does already.
    """
    return model if policy == "float32" else clone(model, policy)
