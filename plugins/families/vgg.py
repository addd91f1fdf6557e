"""VGG: plain 3x3 convolutions, large and slow (Simonyan and Zisserman 2014)."""

from __future__ import annotations

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_bgr_minus_mean


@register
class VGG(Backbone):
    family = "vgg"
    default_variant = "16"
    weights_licence = "CC BY 4.0"
    variants = {
        "16": Variant("VGG16", 224, 14_714_688, to_bgr_minus_mean),
        "19": Variant("VGG19", 224, 20_024_384, to_bgr_minus_mean),
    }
