"""The networks of KerasHub that Graft offers: source, licence, size and architecture of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plugins.base import Variant
from plugins.families.kerashub import architectures
from plugins.scaling import as_is

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's pixels, 0 to 1, for each colour."""
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True, kw_only=True)
class PresetVariant(Variant):
    """A network of KerasHub. Its arguments are those of the class, besides the image size.

    Args:
        preset: name of the pretrained weights in KerasHub.
        licence: licence of these weights, as those who trained them state it.
        network: name of the class in `keras_hub.models`.
        preset_class: name of the class that the preset is for, if that is not `network`, but a
            class that has the network as its attribute `vision_encoder`; otherwise "".
        embed: the function that turns a network and pictures into feature maps.
        mean_and_deviation: of pixels from 0 to 1, as in the training of the weights. If a preset
            says how it scales pictures, that is used instead.
        is_resizable: whether the weights suit other image sizes than those they were trained with.
    """

    application: str = ""
    image_size: int = 224
    scale: Callable[[Any], Any] = as_is
    preset: str
    licence: str
    network: str
    preset_class: str = ""
    embed: Callable[[Any, Any], Any]
    mean_and_deviation: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    is_resizable: bool = True


def _transformer(width: int, patch: int, **others: Any) -> dict[str, Any]:
    """Arguments of a vision transformer with 12 blocks and heads of 64 channels."""
    sizes = {"num_layers": 12, "num_heads": width // 64, "hidden_dim": width}
    return {"patch_size": patch, **sizes, **others}


def _dinov2(preset: str, parameters: int, width: int, registers: int = 0) -> PresetVariant:
    arguments = {
        **_transformer(width, 14, intermediate_dim=4 * width),
        "num_register_tokens": registers,
        "position_embedding_shape": (518, 518, 3),
        "antialias_in_interpolation": registers > 0,
    }
    return PresetVariant(
        parameters=parameters,
        arguments=arguments,
        min_image_size=42,
        patch_size=14,
        preset=preset,
        licence="Apache-2.0",
        network="DINOV2Backbone",
        embed=architectures.embed_dinov2,
    )


VARIANTS: Mapping[str, PresetVariant] = {
    "dinov2-small": _dinov2("dinov2_small", 22_155_264, 384),
    "dinov2-small-registers": _dinov2("dinov2_with_registers_small", 22_156_800, 384, 4),
    "dinov2-base": _dinov2("dinov2_base", 86_777_856, 768),
    "dinov2-base-registers": _dinov2("dinov2_with_registers_base", 86_780_928, 768, 4),
    "dinov3-small": PresetVariant(
        parameters=21_596_544,
        arguments=_transformer(
            384, 16, intermediate_dim=1536, num_register_tokens=4, use_key_bias=False
        ),
        patch_size=16,
        preset="dinov3_vit_small_lvd1689m",
        licence="DINOv3 License (own terms, gated)",
        network="DINOV3Backbone",
        embed=architectures.embed_dinov3,
    ),
    "vit-base": PresetVariant(
        parameters=85_798_656,
        arguments=_transformer(768, 16, mlp_dim=3072),
        patch_size=16,
        preset="vit_base_patch16_224_imagenet21k",
        licence="Apache-2.0",
        network="ViTBackbone",
        embed=architectures.embed_vit,
        mean_and_deviation=HALF,
        is_resizable=False,
    ),
    "siglip-base": PresetVariant(
        parameters=92_884_420,
        arguments=_transformer(768, 16, intermediate_dim=3072),
        patch_size=16,
        preset="siglip_base_patch16_224",
        licence="Apache-2.0",
        network="SigLIPVisionEncoder",
        preset_class="SigLIPBackbone",
        embed=architectures.embed_siglip,
        mean_and_deviation=HALF,
        is_resizable=False,
    ),
    "swin-tiny": PresetVariant(
        parameters=27_519_354,
        arguments={
            "embed_dim": 96,
            "depths": (2, 2, 6, 2),
            "num_heads": (3, 6, 12, 24),
            "window_size": 7,
        },
        min_image_size=224,  # in smaller pictures, windows of 7 x 7 tokens do not fit
        patch_size=32,
        preset="swin_tiny_patch4_window7_224",
        licence="MIT",
        network="SwinTransformerBackbone",
        embed=architectures.embed_swin,
    ),
    "hgnetv2-b4": PresetVariant(
        parameters=13_599_072,
        arguments={
            "depths": [1, 1, 3, 1],
            "embedding_size": 48,
            "hidden_sizes": [128, 512, 1024, 2048],
            "stem_channels": [3, 32, 48],
            "hidden_act": "relu",
            "use_learnable_affine_block": False,
            "stackwise_stage_filters": [
                [48, 48, 128, 1, 6, 3],
                [128, 96, 512, 1, 6, 3],
                [512, 192, 1024, 3, 6, 5],
                [1024, 384, 2048, 1, 6, 5],
            ],
            "apply_downsample": [False, True, True, True],
            "use_lightweight_conv_block": [False, False, True, True],
        },
        preset="hgnetv2_b4_ssld_stage2_ft_in1k",
        licence="Apache-2.0",
        network="HGNetV2Backbone",
        embed=architectures.embed_hgnetv2,
    ),
    "efficientnet-b0-ra4": PresetVariant(
        parameters=4_049_564,
        arguments={
            "stackwise_width_coefficients": [1.0] * 7,
            "stackwise_depth_coefficients": [1.0] * 7,
            "stackwise_squeeze_and_excite_ratios": [0.25] * 7,
            "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
            "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
            "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
            "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
            "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
            "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
            "stackwise_block_types": ["v1"] * 7,
            "min_depth": None,
            "use_depth_divisor_as_min_depth": True,
            "cap_round_filter_decrease": True,
            "dropout": 0,
        },
        preset="efficientnet_b0_ra4_e3600_r224_imagenet",
        licence="Apache-2.0",
        network="EfficientNetBackbone",
        embed=architectures.embed_efficientnet,
        mean_and_deviation=HALF,
    ),
}
