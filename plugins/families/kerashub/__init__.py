"""KerasHub: transformers and newer convolutional networks, from the package keras-hub.

In: the name of a variant, an input size, and weights (a preset of KerasHub, a folder or random).
Out: a `Backbone`. Its feature maps are arranged such that their average over all positions is the
embedding that the authors of the network classify with.
May use: plugins.{base, copying, registry, scaling, weights}.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.base import Backbone, BackboneError
from plugins.families.kerashub import presets
from plugins.families.kerashub.variants import VARIANTS, PresetVariant
from plugins.registry import register
from plugins.weights import WeightsError

if TYPE_CHECKING:
    import keras

INSTALL = ".venv/bin/pip install --no-deps --require-hashes -r requirements/train-kerashub.txt"


@register
class KerasHub(Backbone):
    family = "kerashub"
    default_variant = "dinov2-small"
    variants = VARIANTS
    weights_licence = "depends on the variant"
    extra = "kerashub"
    _spec: PresetVariant

    def __init__(self, variant: str | None = None) -> None:
        super().__init__(variant)
        self.pretrained = self._spec.preset
        self.weights_licence = self._spec.licence

    @classmethod
    def missing_package(cls) -> str:
        """Say how to install keras-hub; "" if it is installed."""
        return "" if find_spec("keras_hub") else f"it needs the package keras-hub: {INSTALL}"

    def validate(self, weights: str, image_size: int) -> None:
        """Check the arguments of `load`, as other backbones do.

        Raises:
            BackboneError: also if the position embeddings of the weights are for another size.
        """
        super().validate(weights, image_size)
        is_changed = image_size != self.image_size and not self._spec.is_resizable
        if weights == self.pretrained and is_changed:
            raise BackboneError(
                f"the position embeddings of {self.name} are for pictures of {self.image_size} "
                f"pixels, not {image_size}: leave out --image-size, or use another backbone, such "
                "as kerashub:dinov2-small"
            )

    def check_path(self, path: Path, image_size: int) -> None:
        """Check a folder with a preset, or the file with the weights of `build`."""
        if path.is_dir():
            presets.check_folder(self._spec, path, image_size, self.name)
        else:
            super().check_path(path, image_size)

    def build(self, weights: str | None, image_size: int) -> keras.Model:
        """Build the network. It scales its input itself, as the preset says.

        Raises:
            WeightsError: the preset cannot be downloaded.
        """
        if weights is None:
            return self._flatten(presets.build_network(self._spec, image_size), None, image_size)
        presets.download(weights, self._spec, self.name)
        return self._load(weights, image_size)

    def build_from_path(self, path: Path, image_size: int) -> keras.Model:
        """Build the network from a folder with a preset, or with weights from a file."""
        if not path.is_dir():
            return super().build_from_path(path, image_size)
        presets.check_folder(self._spec, path, image_size, self.name)
        try:
            return self._load(str(path), image_size)
        except Exception as error:  # Keras and h5py raise errors of many types for damaged files
            reason = str(error).strip().partition("\n")[0][:300] or repr(error)
            raise WeightsError(
                f"{path} cannot be loaded as {self.name}: {reason}. Fetch it again, or write it "
                "with `save_to_preset`"
            ) from error

    def whole_picture_channels(self, model: keras.Model) -> int:
        """Return the number of channels of the class token, or of the pooled token."""
        channels = int(model.output_shape[-1])
        if self._spec.network in ("DINOV2Backbone", "DINOV3Backbone"):
            return channels // 2
        return channels if self._spec.network in ("ViTBackbone", "SigLIPVisionEncoder") else 0

    def fine_tune(self, model: keras.Model, layers: int) -> list[keras.layers.Layer]:
        """Unfreeze the last `layers` layers, but never the first layer of DINOv2.

        KerasHub interpolates DINOv2's position embeddings when it loads and saves weights, so
        changes to them would be lost.
        """
        unfrozen = super().fine_tune(model, layers)
        if self._spec.network == "DINOV2Backbone":
            model.get_layer("embeddings").trainable = False
        return [layer for layer in unfrozen if layer.trainable]

    def _load(self, source: str, image_size: int) -> keras.Model:
        network = presets.load_network(self._spec, source, image_size)
        return self._flatten(network, presets.load_scaling(source), image_size)

    def _flatten(self, network: Any, scaling: tuple[Any, Any] | None, size: int) -> keras.Model:
        """Put the scaling of pixels before the network, and feature maps after it."""
        import keras

        mean, deviation = self._spec.mean_and_deviation
        scale, offset = scaling or (
            [1 / (255 * value) for value in deviation],
            [-value / spread for value, spread in zip(mean, deviation, strict=True)],
        )
        images = keras.Input((size, size, 3), name="images")
        scaled = keras.layers.Rescaling(scale, offset, name="scaling")(images)
        return keras.Model(images, self._spec.embed(network, scaled), name=self.family)
