"""The flat graphs give the embeddings that the authors of the networks classify with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from plugins.copying import clone
from plugins.layers import leaf_layers, unfreeze_last
from plugins.registry import resolve
from tests.plugins.families.kerashub.conftest import TINY, build_tiny


def _mean(maps: Any) -> Any:
    return maps.mean(axis=tuple(range(1, maps.ndim - 1)))


def _mean_and_class_token(registers: int) -> Callable[[Any], Any]:
    return lambda tokens: np.concatenate([_mean(tokens[:, 1 + registers :]), tokens[:, 0]], axis=1)


EMBEDDINGS: dict[str, Callable[[Any], Any]] = {
    "dinov2": _mean_and_class_token(2),
    "dinov3": _mean_and_class_token(4),
    "vit": lambda tokens: tokens[:, 0],
    "siglip": lambda pooled: pooled,
    "swin": _mean,
    "hgnetv2": lambda stages: _mean(stages["stage2"]),
}
"""The embedding, computed from what the network of KerasHub returns."""


def flatten(name: str, network: Any) -> tuple[keras.Model, Any]:
    shape = network.image_shape
    images = keras.Input(shape, name="images")
    pictures = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    return keras.Model(images, TINY[name][1](network, images)), pictures


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if name == "swin" else pytest.mark.slow)
        for name in TINY
    ],
)
def test_a_flat_graph_gives_the_embedding_of_the_authors(name: str) -> None:
    network = build_tiny(name)
    inputs = network.input
    key = next(iter(inputs)) if isinstance(inputs, dict) else None
    _, pictures = flatten(name, network)
    outputs = network({key: pictures} if key else pictures, training=False)
    outputs = keras.tree.map_structure(np.asarray, outputs)
    model, _ = flatten(name, build_tiny(name))
    maps = np.asarray(model(pictures, training=False))
    np.testing.assert_allclose(_mean(maps), EMBEDDINGS[name](outputs), atol=2e-6)
    assert model.count_params() == network.count_params()
    copied = clone(model)(pictures, training=False)
    np.testing.assert_allclose(copied, maps, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "is_trained"), [("dinov2", False), ("dinov3", True)])
def test_only_the_position_embeddings_of_dinov2_stay_frozen(name: str, is_trained: bool) -> None:
    model, _ = flatten(name, build_tiny(name))
    backbone = resolve(f"kerashub:{name}-small")
    backbone.freeze(model)
    unfrozen = backbone.fine_tune(model, 1000)
    assert bool(model.get_layer("embeddings").trainable_weights) == is_trained
    assert model.get_layer("layernorm") in unfrozen
    assert all(layer.trainable for layer in unfrozen)


@pytest.mark.slow
def test_the_last_layers_are_the_last_blocks() -> None:
    model, _ = flatten("dinov2", build_tiny("dinov2"))
    unfrozen = unfreeze_last(model, 2)  # the last LayerNormalization, and one layer of a block
    trainable = [layer.name for layer in model.layers if layer.trainable_weights]
    assert trainable == ["layers_1", "layernorm"]
    block = model.get_layer("layers_1")
    assert unfrozen == [layer for layer in leaf_layers(block) if layer.weights] + [
        model.get_layer("layernorm")
    ]
