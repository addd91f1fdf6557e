"""Pocket: a small network whose weights lie in this repository, made from drawn pictures.

It is for where nothing can be downloaded, and for first steps. pocket.md, beside this file, says
how the weights were made, what they are worth, and what they are not good for.
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
    """A residual network (He et al. 2015) that hands out what it sees at every depth."""

    family = "pocket"
    default_variant = "1"
    variants = {"1": Variant("", 128, 936_104, to_unit_range)}
    pretrained = "embedded"

    def build(self, weights: str | None, image_size: int) -> keras.Model:
        """Feature maps of five depths, all brought to a sixteenth of the picture's side.

        Shallow maps tell colours and fine textures, which a small network forgets on its way up.
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
    # Keras' own momentum of 0.99 would lag behind in a training as short as ours.
    maps = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(maps)
    return maps if is_linear else layers.ReLU(name=f"{name}_relu")(maps)


def _residual(maps: Any, width: int, name: str) -> Any:
    from keras import layers

    branch = _convolution(maps, width, f"{name}_1")
    branch = _convolution(branch, width, f"{name}_2", is_linear=True)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([maps, branch]))


def _verify(path: Path) -> None:
    """Raise WeightsError unless the file is the one that was released."""
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if found != SHA256:
        raise WeightsError(
            f"{path} is damaged or missing (SHA-256 {found}, expected {SHA256}): install Graft "
            "again, or rebuild the weights by `make pretrain-pocket` and pass them by --weights"
        )
