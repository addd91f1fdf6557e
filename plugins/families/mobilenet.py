"""MobileNet: small and fast on CPUs (Howard et al. 2017, 2019; Sandler et al. 2018)."""

from __future__ import annotations

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import as_is, to_unit_range


def _v1(alpha: float, parameters: int) -> Variant:
    return Variant("MobileNet", 224, parameters, to_unit_range, {"alpha": alpha})


def _v2(alpha: float, parameters: int) -> Variant:
    return Variant("MobileNetV2", 224, parameters, to_unit_range, {"alpha": alpha})


@register
class MobileNet(Backbone):
    """MobileNet V1 to V3, in every width for which Keras has ImageNet weights.

    The variants with "minimal" in their names are V3 without squeeze-and-excite, hard swish and 5x5
    filters; Keras calls them `minimalistic`.
    """

    family = "mobilenet"
    default_variant = "v2-1.0"
    weights_licence = "Apache-2.0 (V1 and V2; not stated for V3)"
    variants = {
        "v1-0.25": _v1(0.25, 218_544),
        "v1-0.5": _v1(0.5, 829_536),
        "v1-0.75": _v1(0.75, 1_832_976),
        "v1-1.0": _v1(1.0, 3_228_864),
        "v2-0.35": _v2(0.35, 410_208),
        "v2-0.5": _v2(0.5, 706_224),
        "v2-0.75": _v2(0.75, 1_382_064),
        "v2-1.0": _v2(1.0, 2_257_984),
        "v2-1.3": _v2(1.3, 3_766_048),
        "v2-1.4": _v2(1.4, 4_363_712),
        "v3-small": Variant("MobileNetV3Small", 224, 939_120, as_is),
        "v3-small-0.75": Variant("MobileNetV3Small", 224, 583_160, as_is, {"alpha": 0.75}),
        "v3-small-minimal": Variant(
            "MobileNetV3Small", 224, 441_000, as_is, {"minimalistic": True}
        ),
        "v3-large": Variant("MobileNetV3Large", 224, 2_996_352, as_is),
        "v3-large-0.75": Variant("MobileNetV3Large", 224, 1_808_736, as_is, {"alpha": 0.75}),
        "v3-large-minimal": Variant(
            "MobileNetV3Large", 224, 1_437_608, as_is, {"minimalistic": True}
        ),
    }
