"""MobileNet: small and fast on CPUs (Sandler et al. 2018; Howard et al. 2019)."""

from __future__ import annotations

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import as_is, to_unit_range


def _v2(alpha: float, parameters: int) -> Variant:
    return Variant("MobileNetV2", 224, parameters, to_unit_range, {"alpha": alpha})


@register
class MobileNet(Backbone):
    family = "mobilenet"
    default_variant = "v2-1.0"
    variants = {
        "v2-0.35": _v2(0.35, 410_208),
        "v2-0.5": _v2(0.5, 706_224),
        "v2-0.75": _v2(0.75, 1_382_064),
        "v2-1.0": _v2(1.0, 2_257_984),
        "v2-1.3": _v2(1.3, 3_766_048),
        "v2-1.4": _v2(1.4, 4_363_712),
        "v3-small": Variant("MobileNetV3Small", 224, 939_120, as_is),
        "v3-large": Variant("MobileNetV3Large", 224, 2_996_352, as_is),
    }
