"""A small network of SqueezeNet's fire modules (Iandola et al. 2016), as a backbone for Graft."""

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_unit_range


def fire(layers, maps, width):
    squeezed = layers.Conv2D(width // 8, 1, activation="relu")(maps)
    wide = [layers.Conv2D(width // 2, side, 1, "same", activation="relu") for side in (1, 3)]
    return layers.Concatenate()([expand(squeezed) for expand in wide])


@register
class Squeeze(Backbone):
    family, default_variant, pretrained = "squeeze", "1", "none"
    variants = {"1": Variant("", 224, 86_920, to_unit_range)}

    def build(self, weights, image_size):
        from keras import Input, Model, layers  # not at the top, so that --help stays fast

        images = Input((image_size, image_size, 3))
        maps = layers.Conv2D(64, 3, 2, "same", activation="relu")(images)
        for width in (128, 192, 256):
            maps = fire(layers, layers.MaxPooling2D()(maps), width)
        return Model(images, maps)
