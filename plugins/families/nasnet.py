"""NASNet: cells found by architecture search (Zoph et al. 2017)."""

from __future__ import annotations

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_unit_range


@register
class NASNet(Backbone):
    family = "nasnet"
    default_variant = "mobile"
    weights_licence = "Apache-2.0"
    variants = {
        "mobile": Variant("NASNetMobile", 224, 4_269_716, to_unit_range),
        "large": Variant("NASNetLarge", 331, 84_916_818, to_unit_range),
    }
