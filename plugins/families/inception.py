"""Inception: filters of several sizes side by side (Szegedy et al. 2015, 2016)."""

from __future__ import annotations

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_unit_range


@register
class Inception(Backbone):
    family = "inception"
    default_variant = "v3"
    weights_licence = "Apache-2.0"
    variants = {
        "v3": Variant("InceptionV3", 299, 21_802_784, to_unit_range, min_image_size=75),
        "resnet-v2": Variant(
            "InceptionResNetV2", 299, 54_336_736, to_unit_range, min_image_size=75
        ),
    }
