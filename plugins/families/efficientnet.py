"""EfficientNet: accurate for its size (Tan and Le 2019, 2021).

The networks scale their input themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plugins.base import Backbone, Variant
from plugins.copying import assign_weights
from plugins.registry import register
from plugins.scaling import as_is

if TYPE_CHECKING:
    import keras


@register
class EfficientNet(Backbone):
    family = "efficientnet"
    default_variant = "b0"
    variants = {
        "b0": Variant("EfficientNetB0", 224, 4_049_571, as_is),
        "b1": Variant("EfficientNetB1", 240, 6_575_239, as_is),
        "b2": Variant("EfficientNetB2", 260, 7_768_569, as_is),
        "b3": Variant("EfficientNetB3", 300, 10_783_535, as_is),
        "b4": Variant("EfficientNetB4", 380, 17_673_823, as_is),
        "b5": Variant("EfficientNetB5", 456, 28_513_527, as_is),
        "b6": Variant("EfficientNetB6", 528, 40_960_143, as_is),
        "b7": Variant("EfficientNetB7", 600, 64_097_687, as_is),
        "v2-b0": Variant("EfficientNetV2B0", 224, 5_919_312, as_is),
        "v2-b1": Variant("EfficientNetV2B1", 240, 6_931_124, as_is),
        "v2-b2": Variant("EfficientNetV2B2", 260, 8_769_374, as_is),
        "v2-b3": Variant("EfficientNetV2B3", 300, 12_930_622, as_is),
        "v2-s": Variant("EfficientNetV2S", 384, 20_331_360, as_is),
        "v2-m": Variant("EfficientNetV2M", 480, 53_150_388, as_is),
        "v2-l": Variant("EfficientNetV2L", 480, 117_746_848, as_is),
    }

    def load_file(self, network: keras.Model, path: Path) -> None:
        """Load weights from a file, and for B0 to B7 correct the scaling of the pixels.

        Keras' ImageNet weights of B0 to B7 expect pixels that are divided twice by the square root
        of the variance in the Normalization layer. For weights="imagenet" Keras adds the second
        division, but not for weights from a file. Squaring the stored variance has the same effect.
        A network that was trained from random weights has a variance of 1.0, which squaring does
        not change.
        """
        super().load_file(network, path)
        if self.variant.startswith("v2"):
            return
        import keras

        (normalization,) = (
            layer for layer in network.layers if isinstance(layer, keras.layers.Normalization)
        )
        mean, variance, count = normalization.get_weights()
        assign_weights(normalization, [mean, variance**2, count])
