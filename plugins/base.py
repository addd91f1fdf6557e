"""The base class of all backbones: loads weights, freezes layers, and unfreezes the last ones.

A family of networks is one subclass of `Backbone` in one file. The subclass lists its networks,
each with the function that scales pictures for it. This module does the rest. Keras is imported
only when a network is built, because listing the backbones must be fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from plugins.layers import leaf_layers, unfreeze_last
from plugins.weights import WeightsError, check_file, download_error, load_weights

if TYPE_CHECKING:
    import keras


PRETRAINED = ("imagenet", "embedded")
"""Names of pretrained weights that several families share. No family has more than one of them."""


class BackboneError(ValueError):
    """A backbone does not exist, is defined wrongly, or does not support an argument."""


@dataclass(frozen=True)
class Variant:
    """One network of a family.

    Args:
        application: name of the function in `keras.applications` that builds the network; "" if
            the family overrides `build`.
        image_size: side of the square input that the network was trained with, in pixels.
        parameters: number of parameters without the top layers, as Keras counts them.
        scale: function that scales pictures for the network: (N, H, W, 3) float32 RGB in 0..255
            -> the same shape. It becomes part of the exported graph, so it may use only operators
            and `keras.ops`.
        arguments: further keyword arguments of the function `application`.
        min_image_size: side of the smallest input that the network accepts, in pixels.
        patch_size: the side of the input must be a multiple of this number of pixels.
    """

    application: str
    image_size: int
    parameters: int
    scale: Callable[[Any], Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    min_image_size: int = 32
    patch_size: int = 1


class Backbone:
    """A pretrained network without its top layers. It turns RGB pictures 0..255 into feature maps.

    Subclasses set `family`, `variants` and `default_variant`. They override `build` if their
    networks do not come from `keras.applications`.
    """

    family: ClassVar[str]
    variants: ClassVar[Mapping[str, Variant]]
    default_variant: ClassVar[str]
    pretrained: str = "imagenet"
    """Name of the pretrained weights, which `load` uses by default; "none" if there are none."""
    weights_licence: str = ""
    """Licence of these weights, as those who publish them state it; "" if they state none."""
    extra: ClassVar[str] = ""
    """Name of the extra of Graft that installs the packages of the family; "" if it needs none."""

    def __init__(self, variant: str | None = None) -> None:
        self.variant = variant or self.default_variant
        self._spec = self.variants[self.variant]

    @property
    def name(self) -> str:
        """The full name, `family:variant`, as --plugin takes it."""
        return f"{self.family}:{self.variant}"

    @property
    def image_size(self) -> int:
        """Side of the square input that the variant was trained with, in pixels."""
        return self._spec.image_size

    @classmethod
    def missing_package(cls) -> str:
        """Say how to install the package that the family needs; "" if nothing is missing."""
        return ""

    def build(self, weights: str | None, image_size: int) -> keras.Model:
        """Build the network without the scaling of its input.

        Args:
            weights: the value of `pretrained`, or None for random weights.
            image_size: side of the square input, in pixels.
        """
        import keras

        application = getattr(keras.applications, self._spec.application)
        network: keras.Model = application(
            include_top=False,
            weights=weights,
            input_shape=(image_size, image_size, 3),
            **self._spec.arguments,
        )
        return network

    def validate(self, weights: str, image_size: int) -> None:
        """Check the arguments of `load` without building a network or reading weights.

        Raises:
            BackboneError: a package is missing, or the input is too small for the network or not a
                multiple of its patches.
            WeightsError: the family has no such weights, or the weights file does not exist or has
                a suffix that Keras cannot load.
        """
        if missing := self.missing_package():
            raise BackboneError(f"{self.name} cannot be used: {missing}")
        if image_size < self._spec.min_image_size:
            raise BackboneError(
                f"{self.name} needs pictures of at least {self._spec.min_image_size} pixels per "
                f"side, not {image_size}: choose a larger --image-size (default: "
                f"{self.image_size})"
            )
        patch = self._spec.patch_size
        if image_size % patch:
            lower = max(image_size // patch * patch, self._spec.min_image_size)
            raise BackboneError(
                f"{self.name} cuts pictures into patches of {patch} pixels, so --image-size must "
                f"be a multiple of {patch}, not {image_size}: choose {lower} or {lower + patch} "
                f"(default: {self.image_size})"
            )
        if weights in ("none", self.pretrained):
            return
        if weights in PRETRAINED:
            choices = " or ".join(f"`{name}`" for name in dict.fromkeys((self.pretrained, "none")))
            raise WeightsError(
                f"{self.name} has no `{weights}` weights: choose {choices}, or the path of a "
                "weights file"
            )
        self.check_path(Path(weights), image_size)

    def check_path(self, path: Path, image_size: int) -> None:
        """Check the path of weights, as `validate` does."""
        check_file(path, self.name)

    def load(self, weights: str | None = None, image_size: int | None = None) -> keras.Model:
        """Load the network; the scaling of its input is part of the graph.

        Args:
            weights: "imagenet" (downloaded and cached by Keras) or "embedded" (part of Graft),
                depending on the family; "none" (random); or the path of a .h5, .weights.h5 or
                .keras file of this network without its top layers. None selects `pretrained`.
            image_size: side of the square input, in pixels; None selects the size that the
                variant was trained with.

        Returns:
            A model (N, image_size, image_size, 3) float32 RGB 0..255 -> (N, h, w, channels).

        Raises:
            BackboneError: as `validate`.
            WeightsError: the family has no such weights, they cannot be downloaded, or the file
                does not exist, has a suffix that Keras cannot load, or does not fit the network.
        """
        import keras

        size, weights = image_size or self.image_size, weights or self.pretrained
        self.validate(weights, size)
        if weights == "none":
            network = self.build(None, size)
        elif weights == self.pretrained:
            try:
                network = self.build(weights, size)
            except WeightsError:
                raise
            except Exception as error:  # Keras raises a bare Exception when a download fails
                raise download_error(self.name, error) from error
        else:
            network = self.build_from_path(Path(weights), size)
        images = keras.Input((size, size, 3), name="images")
        # `call` instead of `__call__` inlines the layers of the network. The result is one flat
        # graph, in which training can find the end of the frozen part.
        return keras.Model(images, network.call(self._spec.scale(images)), name=self.family)

    def build_from_path(self, path: Path, image_size: int) -> keras.Model:
        """Build the network with the weights at `path`, without the scaling of its input."""
        network = self.build(None, image_size)
        self.load_file(network, path)
        return network

    def load_file(self, network: keras.Model, path: Path) -> None:
        """Load all weights of `network` from a file.

        Raises:
            WeightsError: the file does not exist, has a suffix that Keras cannot load, or does not
                fit the network. Some of the weights may already have been loaded, so the network
                must not be used.
        """
        load_weights(network, path, self.name)

    def whole_picture_channels(self, model: keras.Model) -> int:
        """Return how many of the last channels have the same value at all positions of a picture.

        Such channels describe the whole picture, as a class token does. So heat maps leave them
        out.
        """
        return 0

    def freeze(self, model: keras.Model) -> None:
        """Make all layers of a loaded model non-trainable."""
        model.trainable = False

    def fine_tune(self, model: keras.Model, layers: int) -> list[keras.layers.Layer]:
        """Unfreeze the last `layers` layers, freeze all others, and return the unfrozen ones.

        See `plugins.layers.unfreeze_last`.

        Raises:
            BackboneError: `layers` is less than 1.
        """
        if layers < 1:
            raise BackboneError(f"fine-tuning needs at least 1 layer, not {layers}")
        return unfreeze_last(model, layers)


__all__ = ["Backbone", "BackboneError", "Variant", "WeightsError", "leaf_layers"]
