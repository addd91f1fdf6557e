"""ResNet: residual networks (He et al. 2015, 2016)."""

from __future__ import annotations

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_bgr_minus_mean, to_unit_range


@register
class ResNet(Backbone):
    family = "resnet"
    default_variant = "50"
    weights_licence = "MIT (V2: BSD)"
    variants = {
        "50": Variant("ResNet50", 224, 23_587_712, to_bgr_minus_mean),
        "101": Variant("ResNet101", 224, 42_658_176, to_bgr_minus_mean),
        "152": Variant("ResNet152", 224, 58_370_944, to_bgr_minus_mean),
        "50-v2": Variant("ResNet50V2", 224, 23_564_800, to_unit_range),
        "101-v2": Variant("ResNet101V2", 224, 42_626_560, to_unit_range),
        "152-v2": Variant("ResNet152V2", 224, 58_331_648, to_unit_range),
    }
