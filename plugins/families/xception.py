"""Xception: separable convolutions throughout (Chollet 2017)."""

from __future__ import annotations

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_unit_range


@register
class Xception(Backbone):
    family = "xception"
    default_variant = "1"
    weights_licence = "MIT"
    variants = {"1": Variant("Xception", 299, 20_861_480, to_unit_range, min_image_size=71)}
