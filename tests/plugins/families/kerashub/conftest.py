"""Tiny networks of KerasHub with random weights, and presets of them on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import pytest

from plugins.families.kerashub.architectures import (
    embed_dinov2,
    embed_dinov3,
    embed_hgnetv2,
    embed_siglip,
    embed_swin,
    embed_vit,
)

_TOKENS = {"patch_size": 16, "num_layers": 2, "hidden_dim": 16, "num_heads": 2}
_SHAPE = {"image_shape": (64, 64, 3)}
TINY: dict[str, tuple[str, Callable[[Any, Any], Any], dict[str, Any]]] = {
    "dinov2": (
        "DINOV2Backbone",
        embed_dinov2,
        {
            **{**_TOKENS, "patch_size": 14, "intermediate_dim": 32, "num_register_tokens": 2},
            "image_shape": (56, 56, 3),
            "position_embedding_shape": (70, 70, 3),
        },
    ),
    "dinov3": ("DINOV3Backbone", embed_dinov3, {**_TOKENS, **_SHAPE, "intermediate_dim": 32}),
    "vit": ("ViTBackbone", embed_vit, {**_TOKENS, **_SHAPE, "mlp_dim": 32}),
    "siglip": ("SigLIPVisionEncoder", embed_siglip, {**_TOKENS, **_SHAPE, "intermediate_dim": 32}),
    "swin": (
        "SwinTransformerBackbone",
        embed_swin,
        {"embed_dim": 8, "depths": (1, 2), "num_heads": (2, 2), "window_size": 7, **_SHAPE},
    ),
    "hgnetv2": (
        "HGNetV2Backbone",
        embed_hgnetv2,
        {
            **{"depths": [1, 1], "embedding_size": 8, "hidden_sizes": [8, 16], **_SHAPE},
            **{"stem_channels": [3, 4, 8], "hidden_act": "relu"},
            "use_learnable_affine_block": False,
            "stackwise_stage_filters": [[8, 8, 8, 1, 2, 3], [8, 8, 16, 1, 2, 3]],
            **{"apply_downsample": [False, True], "use_lightweight_conv_block": [False, True]},
        },
    ),
}
"""Of each architecture: the name of its class, the function that flattens it, and arguments."""


def build_tiny(name: str) -> Any:
    network, _, arguments = TINY[name]
    keras.utils.set_random_seed(0)
    return getattr(keras_hub.models, network)(**arguments)


@pytest.fixture(scope="session")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write a preset of a tiny network into a folder, as users do."""
    root = tmp_path_factory.mktemp("presets")

    def write(name: str) -> Path:
        if not (root / name).exists():
            build_tiny(name).save_to_preset(str(root / name))
        return root / name

    return write
