"""What every backbone can do: load with weights, freeze, and unfreeze its last layers.

A family is one subclass in one file. It lists its networks and how each wants pictures scaled;
everything else is here. Keras is imported only when a network is built, so that listing the
backbones is fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from plugins.weights import WeightsError, check_file, download_error, load_weights

if TYPE_CHECKING:
    import keras


PRETRAINED = ("imagenet", "embedded")
"""Names of pretrained weights; a family has one of them, or none."""


class BackboneError(ValueError):
    """A backbone cannot do what was asked; the message says what it can do."""


@dataclass(frozen=True)
class Variant:
    """One network of a family.

    Args:
        application: name of the function in `keras.applications` that builds it; "" where the
            family overrides `build`.
        image_size: side of the square input that it was trained at, in pixels.
        parameters: number of its weights without the top, as Keras counts them.
        scale: how pictures are scaled for it: (N, H, W, 3) float32 RGB in 0..255 -> the same
            shape. Only operators and `keras.ops`, because it becomes part of the exported graph.
        arguments: further arguments of the application.
        min_image_size: side of the smallest input that it can be built for, in pixels.
    """

    application: str
    image_size: int
    parameters: int
    scale: Callable[[Any], Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    min_image_size: int = 32


class Backbone:
    """A pretrained network without its top: RGB pictures in 0..255 in, feature maps out.

    Subclasses set `family`, `variants` and `default_variant`, and override `build` where their
    networks do not come from `keras.applications`.
    """

    family: ClassVar[str]
    variants: ClassVar[Mapping[str, Variant]]
    default_variant: ClassVar[str]
    pretrained: ClassVar[str] = "imagenet"
    """The pretrained weights of the family, which are the default; "none" where it has none."""

    def __init__(self, variant: str | None = None) -> None:
        self.variant = variant or self.default_variant
        self._spec = self.variants[self.variant]

    @property
    def name(self) -> str:
        """`family:variant`, as --plugin takes it."""
        return f"{self.family}:{self.variant}"

    @property
    def image_size(self) -> int:
        """Side of the square input that the variant was trained at, in pixels."""
        return self._spec.image_size

    def build(self, weights: str | None, image_size: int) -> keras.Model:
        """Build the network alone, without scaling.

        Args:
            weights: the value of `pretrained`, or None for random weights.
            image_size: side of the square input in pixels.
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
        """Check the arguments of `load` without building or reading anything.

        Raises:
            BackboneError, WeightsError: as `load` does.
        """
        if image_size < self._spec.min_image_size:
            raise BackboneError(
                f"{self.name} needs pictures of at least {self._spec.min_image_size} pixels a "
                f"side, not {image_size}: choose a larger --image-size (its own is "
                f"{self.image_size})"
            )
        if weights in PRETRAINED and weights != self.pretrained:
            raise WeightsError(
                f"{self.name} has no `{weights}` weights; its own are `{self.pretrained}`"
            )
        if weights not in (*PRETRAINED, "none"):
            check_file(Path(weights), self.name)

    def load(self, weights: str | None = None, image_size: int | None = None) -> keras.Model:
        """Load the network with its scaling inside the graph.

        Args:
            weights: "imagenet" (downloaded and cached by Keras) or "embedded" (part of Graft),
                whichever the family has; "none" (random); or the path of a .h5, .weights.h5 or
                .keras file of this network without its top. None for the family's own.
            image_size: side of the square input in pixels; None for the variant's own.

        Returns:
            A model (N, image_size, image_size, 3) float32 RGB 0..255 -> (N, h, w, channels).

        Raises:
            BackboneError: the network cannot be built for so small an input.
            WeightsError: the weights cannot be downloaded, or the file does not fit.
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
            network = self.build(None, size)
            self.load_file(network, Path(weights))
        images = keras.Input((size, size, 3), name="images")
        # `call` instead of `__call__` inlines the network's layers: one flat graph, in which
        # training can find where the frozen part ends.
        return keras.Model(images, network.call(self._spec.scale(images)), name=self.family)

    def load_file(self, network: keras.Model, path: Path) -> None:
        """Load all weights of `network` from a file.

        Raises:
            WeightsError: the file does not fit; drop the network then.
        """
        load_weights(network, path, self.name)

    def freeze(self, model: keras.Model) -> None:
        """Make every layer of a loaded model untrainable."""
        model.trainable = False

    def fine_tune(self, model: keras.Model, layers: int) -> list[keras.layers.Layer]:
        """Unfreeze the last `layers` layers, freeze all others, and return the unfrozen ones.

        Only layers with trainable weights count, and BatchNormalization does not: it always stays
        frozen. `training=False` alone does not keep its moving statistics inside `fit`
        (keras#20285), only `trainable = False` does. A number above that of all layers means all.

        Raises:
            BackboneError: `layers` is below 1.
        """
        import keras

        if layers < 1:
            raise BackboneError(f"fine-tuning needs at least 1 layer, not {layers}")
        model.trainable = True  # containers must be trainable for their layers to be
        candidates = []
        for layer in leaf_layers(model):
            is_norm = isinstance(layer, keras.layers.BatchNormalization)
            if layer.trainable_weights and not is_norm:
                candidates.append(layer)
            layer.trainable = False
        for layer in candidates[-layers:]:
            layer.trainable = True
        return candidates[-layers:]


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield all layers of a model in order, and in place of nested models and composite layers
    the layers inside them."""
    import keras

    for layer in model.layers if isinstance(model, keras.Model) else _sublayers(model):
        if isinstance(layer, keras.Model) or _sublayers(layer):
            yield from leaf_layers(layer)
        else:
            yield layer


def _sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """List the layers inside a layer; Keras has no public way."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


__all__ = ["Backbone", "BackboneError", "Variant", "WeightsError", "leaf_layers"]
