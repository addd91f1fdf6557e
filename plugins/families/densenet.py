"""DenseNet: each layer takes the outputs of all earlier layers of its block (Huang et al. 2017)."""

from __future__ import annotations

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_imagenet_standardized


@register
class DenseNet(Backbone):
    family = "densenet"
    default_variant = "121"
    weights_licence = "BSD-3-Clause"
    variants = {
        "121": Variant("DenseNet121", 224, 7_037_504, to_imagenet_standardized),
        "169": Variant("DenseNet169", 224, 12_642_880, to_imagenet_standardized),
        "201": Variant("DenseNet201", 224, 18_321_984, to_imagenet_standardized),
    }
