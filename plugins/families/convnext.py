"""ConvNeXt: convolutional networks with a design like that of transformers (Liu et al. 2022).

The networks scale their input themselves.
"""

from __future__ import annotations

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import as_is


@register
class ConvNeXt(Backbone):
    family = "convnext"
    default_variant = "tiny"
    variants = {
        "tiny": Variant("ConvNeXtTiny", 224, 27_820_128, as_is),
        "small": Variant("ConvNeXtSmall", 224, 49_454_688, as_is),
        "base": Variant("ConvNeXtBase", 224, 87_566_464, as_is),
        "large": Variant("ConvNeXtLarge", 224, 196_230_336, as_is),
        "xlarge": Variant("ConvNeXtXLarge", 224, 348_147_968, as_is),
    }
