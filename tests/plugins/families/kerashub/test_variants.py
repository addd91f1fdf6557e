"""The table of variants names presets that KerasHub has, with their numbers of parameters."""

from __future__ import annotations

import keras_hub
import pytest

from plugins.families.kerashub.presets import build_network
from plugins.families.kerashub.variants import VARIANTS


@pytest.mark.parametrize("name", VARIANTS)
def test_keras_hub_has_the_preset(name: str) -> None:
    spec = VARIANTS[name]
    preset_class = spec.preset_class or spec.network
    metadata = getattr(keras_hub.models, preset_class).presets[spec.preset]["metadata"]
    if name.startswith(("vit", "swin", "hgnetv2")):
        assert spec.parameters == metadata["params"]
    if name.startswith("dinov3"):
        assert round(spec.parameters, -5) == metadata["params"]
    if name.startswith("dinov2"):  # KerasHub counts 1 + 37 x 37 positions, of 518 pixels
        difference = (1 + 37 * 37 - 1 - 16 * 16) * spec.arguments["hidden_dim"]
        assert spec.parameters == metadata["params"] - difference


@pytest.mark.long
@pytest.mark.parametrize("name", ["dinov3-small", "siglip-base", "efficientnet-b0-ra4"])
def test_the_network_has_the_number_of_parameters(name: str) -> None:
    """KerasHub rounds the first number, and counts the text encoder and the top of the others."""
    spec = VARIANTS[name]
    assert build_network(spec, spec.image_size).count_params() == spec.parameters


@pytest.mark.parametrize("name", VARIANTS)
def test_the_input_size_is_a_multiple_of_the_patch_size(name: str) -> None:
    spec = VARIANTS[name]
    assert spec.image_size % spec.patch_size == spec.min_image_size % spec.patch_size == 0
    assert spec.licence
