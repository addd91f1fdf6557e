"""Mixed precision: compute with 16 bits on hardware that supports it; weights stay float32."""

from __future__ import annotations

import keras

from plugins.copying import clone
from trainers import hardware

POLICIES = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16", "float32": "float32"}
"""The name of Keras' dtype policy for each value of --precision except auto."""
VOLTA = (7, 0)
"""The lowest compute capability of GPUs with float16 tensor cores."""


def choose_policy(precision: str) -> str:
    """Return the name of Keras' dtype policy for a value of --precision.

    `auto` selects bfloat16 if all GPUs support it (Ampere and later), otherwise float16 if all
    GPUs have tensor cores for it (Volta and later), otherwise float32. On CPUs it selects float32.
    """
    if precision == "auto":
        oldest = min(hardware.compute_capabilities(), default=(0, 0))
        names = ((hardware.AMPERE, "bfloat16"), (VOLTA, "float16"), ((0, 0), "float32"))
        precision = next(name for capability, name in names if oldest >= capability)
    return POLICIES[precision]


def with_loss_scaling(
    optimizer: keras.optimizers.Optimizer, policy: str
) -> keras.optimizers.Optimizer:
    """Wrap an optimizer in loss scaling if the policy is float16 (Micikevicius et al. 2018).

    Without loss scaling, small gradients become 0 in float16. bfloat16 needs no loss scaling,
    because its range is as large as that of float32. Keras adds loss scaling by itself only if the
    model has the float16 policy. Here the layers of the model have that policy, but the model does
    not.
    """
    is_float16 = policy == POLICIES["float16"]
    return keras.optimizers.LossScaleOptimizer(optimizer) if is_float16 else optimizer


def with_policy(model: keras.Model, policy: str) -> keras.Model:
    """Return a copy of a model that computes with a dtype policy. Its inputs stay float32.

    For the policy "float32", the model itself is returned.
    """
    return model if policy == "float32" else clone(model, policy)
