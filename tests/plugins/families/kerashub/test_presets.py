"""Presets: loaded from a folder or by name; errors say what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_hub
import numpy as np
import pytest

from plugins.base import BackboneError
from plugins.registry import resolve
from plugins.weights import WeightsError
from tests.plugins.families.kerashub.conftest import build_tiny

Preset = Callable[[str], Path]
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 56, 56, 3)).astype(np.float32)


@pytest.mark.slow
def test_a_preset_is_loaded_from_a_folder(preset: Preset) -> None:
    body = resolve("kerashub:dinov2-small").load(str(preset("dinov2")), 56)
    network = build_tiny("dinov2")
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    images = ((PICTURES / 255 - mean) / deviation).astype(np.float32)
    tokens = np.asarray(network({"images": images}, training=False))
    maps = np.asarray(body(PICTURES, training=False))
    np.testing.assert_allclose(maps[..., :16].reshape(2, 16, 16), tokens[:, 3:], atol=1e-5)
    np.testing.assert_allclose(maps[:, 3, 1, 16:], tokens[:, 0], atol=1e-5)


@pytest.mark.slow
def test_the_preset_says_how_to_scale_pictures(preset: Preset) -> None:
    folder = preset("vit")
    converter = keras_hub.layers.ViTImageConverter(scale=1 / 100, offset=(0.0, -1.0, 2.0))
    converter.save_to_preset(str(folder))
    body = resolve("kerashub:vit-base").load(str(folder), 64)
    scaling = next(layer for layer in body.layers if layer.name == "scaling")
    pixels = np.full((1, 64, 64, 3), 200, np.float32)
    np.testing.assert_allclose(np.asarray(scaling(pixels))[0, 0, 0], [2, 1, 4], rtol=1e-6)


@pytest.mark.slow
def test_position_embeddings_of_dinov2_suit_any_multiple_of_the_patch_size(preset: Preset) -> None:
    body = resolve("kerashub:dinov2-small").load(str(preset("dinov2")), 84)
    assert body.output_shape == (None, 6, 6, 32)


def test_position_embeddings_of_other_sizes_are_refused(preset: Preset) -> None:
    with pytest.raises(
        WeightsError, match="for pictures of 64 pixels, not 96: use --image-size 64"
    ):
        resolve("kerashub:vit-base").validate(str(preset("vit")), 96)
    with pytest.raises(BackboneError, match=r"224 pixels, not 240: leave out --image-size"):
        resolve("kerashub:siglip-base").validate("siglip_base_patch16_224", 240)


def test_a_preset_of_another_class_is_refused(preset: Preset) -> None:
    with pytest.raises(
        WeightsError, match="has a ViTBackbone, but kerashub:swin-tiny needs a Swin"
    ):
        resolve("kerashub:swin-tiny").validate(str(preset("vit")), 224)


def test_an_incomplete_folder_is_refused(tmp_path: Path) -> None:
    backbone = resolve("kerashub:dinov2-small")
    with pytest.raises(WeightsError, match=r"no config\.json: give a folder that `save_to_preset`"):
        backbone.validate(str(tmp_path), 224)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(WeightsError, match="is not a configuration of KerasHub"):
        backbone.validate(str(tmp_path), 224)
    content = {"class_name": "DINOV2Backbone", "config": {"image_shape": [224, 224, 3]}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=r"no weights: the file model\.weights\.h5 belongs"):
        backbone.validate(str(tmp_path), 224)


@pytest.mark.parametrize(
    ("variant", "content"),
    [
        ("siglip-base", {"class_name": "SigLIPBackbone", "config": {}}),
        ("siglip-base", {"class_name": "SigLIPBackbone", "config": {"vision_encoder": None}}),
        ("vit-base", {"class_name": "ViTBackbone", "config": [1]}),
        ("vit-base", {"class_name": "ViTBackbone", "config": {"image_shape": None}}),
        ("vit-base", {"class_name": "ViTBackbone", "config": {"image_shape": []}}),
    ],
)
def test_a_damaged_configuration_is_refused(
    tmp_path: Path, variant: str, content: dict[str, Any]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    (tmp_path / "model.weights.h5").touch()
    with pytest.raises(WeightsError, match=r"config\.json is not a configuration of KerasHub"):
        resolve(f"kerashub:{variant}").validate(str(tmp_path), 224)


@pytest.mark.slow
def test_damaged_weights_are_refused(preset: Preset, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((preset("dinov2") / "config.json").read_bytes())
    (tmp_path / "model.weights.h5").write_bytes(b"no HDF5")
    with pytest.raises(WeightsError, match=r"cannot be loaded as kerashub:dinov2-small: .+ again"):
        resolve("kerashub:dinov2-small").load(str(tmp_path), 56)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            "403 Client Error.",
            r"(?s)are gated: .*accepted.*Accept it at  https://www\.kaggle\.com/",
        ),
        ("no route to host", r"(?s)cannot be downloaded here \(no route to host\).*--weights FOL"),
    ],
)
def test_a_failed_download_says_what_to_do(
    reason: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(reason)

    monkeypatch.setattr("kagglehub.model_download", fail)
    with pytest.raises(WeightsError, match=expected):
        resolve("kerashub:dinov3-small").load()
