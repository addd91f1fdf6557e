"""The embedded weights: complete, small, and better than random ones."""

from __future__ import annotations

import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
from setuptools import find_packages

from plugins.families import pocket
from plugins.registry import resolve
from plugins.weights import WeightsError
from trainers.model.classifier import build_embedder

ROOT = Path(__file__).parents[3]


def test_the_embedded_weights_are_the_default_and_at_most_two_megabytes() -> None:
    assert pocket.WEIGHTS.stat().st_size <= 2_000_000
    default, named, random = (
        resolve("pocket").load(weights, 32) for weights in (None, "embedded", "none")
    )
    for actual, expected in zip(default.get_weights(), named.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert not np.array_equal(default.get_weights()[0], random.get_weights()[0])


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "pocket.weights.h5"
    content = bytearray(pocket.WEIGHTS.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(pocket, "WEIGHTS", damaged)
    with pytest.raises(WeightsError, match=r"damaged or missing.*make pretrain-pocket"):
        resolve("pocket").load()


def test_a_missing_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pocket, "WEIGHTS", tmp_path / "none.weights.h5")
    with pytest.raises(WeightsError, match=r"damaged or missing \(SHA-256: no file"):
        resolve("pocket").load()


def test_pretrained_weights_of_another_name_are_refused() -> None:
    with pytest.raises(WeightsError, match="has no `imagenet` weights: choose `embedded`"):
        resolve("pocket").load("imagenet")
    with pytest.raises(WeightsError, match="has no `embedded` weights: choose `imagenet`"):
        resolve("vgg").load("embedded")


@pytest.mark.parametrize("size", [32, 64, 100, 127])
def test_feature_maps_of_all_depths_have_one_size(size: int) -> None:
    body = resolve("pocket").load("none", size)
    side = -(-size // 16)
    assert body.output_shape == (None, side, side, 24 + 48 + 96 + 160 + 448)


def test_embeddings_differ_by_texture_and_not_by_light() -> None:
    same, different = texture_similarities("embedded")
    assert same > different + 0.3
    same, different = texture_similarities("none")
    assert same < different + 0.3


def texture_similarities(weights: str) -> tuple[float, float]:
    """Return the smallest cosine of one texture in two lights, and the largest of two textures."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    stripes = (np.indices((128, 128)).sum(axis=0) // 8 % 2)[..., None] * np.array([200, 150, 60])
    grain = rng.integers(0, 200, (128, 128, 1)) * np.array([1, 0.75, 0.3])
    pictures = np.stack([stripes, 0.7 * stripes + 20, grain, 0.7 * grain + 20])
    embedder = build_embedder(resolve("pocket").load(weights))
    embeddings = np.asarray(embedder(pictures.astype(np.float32)))
    normalized = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = normalized @ normalized.T
    return min(cosines[0, 1], cosines[2, 3]), cosines[[0, 0, 1, 1], [2, 3, 2, 3]].max()


def test_the_model_card_describes_the_network() -> None:
    card = pocket.WEIGHTS.with_name("pocket.md").read_text()
    body = resolve("pocket").load()
    assert f"{body.count_params():,} weights" in card
    assert body.count_params() == pocket.Pocket.variants["1"].parameters
    assert f"({body.output_shape[-1]} feature maps" in card


def test_an_installed_package_has_the_weights() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = project["package-data"]["*"]
    assert {pocket.WEIGHTS.name, "pocket.md"} <= {
        path.name for pattern in patterns for path in pocket.WEIGHTS.parent.glob(pattern)
    }
    packages = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for folder in ("plugins", "trainers", "service")
        for path in (ROOT / folder).rglob("*.py")
    }
    installed = find_packages(str(ROOT), include=project["packages"]["find"]["include"])
    assert set(installed) == packages
