"""Pocket: a small network whose weights are part of Graft, pretrained on generated pictures.

It is meant for first steps, and for machines without internet access. The model card, pocket.md,
says how the weights were made, how accurate they are, and what they are not suitable for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_unit_range
from plugins.weights import WeightsError

if TYPE_CHECKING:
    import keras

WEIGHTS = Path(__file__).with_name("pocket.weights.h5")
SHA256 = "5a80bde0dc4a0684824913c35854603de48bcf73352e28c7ee324ef2e3590188"


@register
class Pocket(Backbone):
    """A residual network (He et al. 2015) that returns feature maps of five stages."""

    family = "pocket"
    default_variant = "1"
    variants = {"1": Variant("", 128, 936_104, to_unit_range)}
    pretrained = "embedded"
    weights_licence = "Apache-2.0"

    def build(self, weights: str | None, image_size: int) -> keras.Model:
        """Build the network. Its output is the concatenation of the feature maps of five stages.

        All maps have a sixteenth of the height and width of the input. The maps of early stages
        are pooled to this size. They contain colours and fine textures, which the last layers of a
        small network lose.

        Raises:
            WeightsError: the weights file of Graft is missing or damaged.
        """
        import keras

        images = keras.Input((image_size, image_size, 3), name="images")
        depths = [_convolution(images, 24, "stem", stride=2)]
        for name, width in (("fine", 48), ("middle", 96), ("coarse", 160)):
            entry = _convolution(depths[-1], width, f"{name}_entry", stride=2)
            depths.append(_residual(entry, width, name))
        top = _convolution(depths[-1], 448, "top", kernel=1)
        layers = keras.layers
        maps = [
            layers.AveragePooling2D(2**steps, padding="same", name=f"pool_{2**steps}")(depth)
            for steps, depth in zip((3, 2, 1), depths, strict=False)
        ]
        features = layers.Concatenate(name="depths")([*maps, depths[-1], top])
        network = keras.Model(images, features, name=self.family)
        if weights:
            _verify(WEIGHTS)
            self.load_file(network, WEIGHTS)
        return network


def _convolution(
    maps: Any, width: int, name: str, kernel: int = 3, stride: int = 1, is_linear: bool = False
) -> Any:
    from keras import layers

    maps = layers.Conv2D(width, kernel, stride, "same", use_bias=False, name=f"{name}_conv")(maps)
    # Keras' default momentum of 0.99 is too slow for pretraining with so few steps.
    maps = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(maps)
    return maps if is_linear else layers.ReLU(name=f"{name}_relu")(maps)


def _residual(maps: Any, width: int, name: str) -> Any:
    from keras import layers

    branch = _convolution(maps, width, f"{name}_1")
    branch = _convolution(branch, width, f"{name}_2", is_linear=True)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([maps, branch]))


def _verify(path: Path) -> None:
    """Raise WeightsError if the file is missing or does not have the expected SHA-256."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if digest != SHA256:
        raise WeightsError(
            f"{path} is damaged or missing (SHA-256: {digest}, expected: {SHA256}): reinstall "
            "Graft, or train new weights with `make pretrain-pocket` and give their path with "
            "--weights"
        )
