"""Mixed precision: compute in 16 bits where the hardware is faster with them; weights keep 32."""

from __future__ import annotations

import keras

from plugins.copying import clone
from trainers import hardware

POLICIES = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16", "float32": "float32"}
"""Keras' dtype policies. bfloat16 has the range of float32; float16 has not, so its loss is
scaled."""
VOLTA = (7, 0)
"""Compute capability from which on GPUs have units for float16."""


def choose_policy(precision: str) -> str:
    """Return the name of Keras' dtype policy for an option of --precision.

    `auto` is bfloat16 if all GPUs have units for it (Ampere and later), float16 if all have units
    for that, and otherwise float32, as on CPUs.
    """
    if precision == "auto":
        oldest = min(hardware.compute_capabilities(), default=(0, 0))
        names = ((hardware.AMPERE, "bfloat16"), (VOLTA, "float16"), ((0, 0), "float32"))
        precision = next(name for capability, name in names if oldest >= capability)
    return POLICIES[precision]


def scale_loss(optimizer: keras.optimizers.Optimizer, policy: str) -> keras.optimizers.Optimizer:
    """Return the optimizer, with loss scaling if the policy is float16 (Micikevicius et al. 2018).

    Without it small gradients would become 0. Keras scales the loss itself if the policy of the
    model says so; here the layers have the policy, and the model has none.
    """
    is_float16 = policy == POLICIES["float16"]
    return keras.optimizers.LossScaleOptimizer(optimizer) if is_float16 else optimizer


def with_policy(model: keras.Model, policy: str) -> keras.Model:
    """Return a copy of a model that computes by a dtype policy; its inputs stay float32.

    For float32 it is the model itself.
    """
    return model if policy == "float32" else clone(model, policy)
