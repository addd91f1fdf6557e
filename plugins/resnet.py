"""ResNet: the well-known workhorse (He et al. 2015)."""

from __future__ import annotations

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_bgr_minus_mean


@register
class ResNet(Backbone):
    family = "resnet"
    default_variant = "50"
    variants = {
        "50": Variant("ResNet50", 224, 23_587_712, to_bgr_minus_mean),
        "101": Variant("ResNet101", 224, 42_658_176, to_bgr_minus_mean),
        "152": Variant("ResNet152", 224, 58_370_944, to_bgr_minus_mean),
    }
