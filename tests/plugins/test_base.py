"""A loaded backbone: scaling, freezing, and unfreezing its last layers."""

from __future__ import annotations

import numpy as np
import pytest

from plugins.base import BackboneError, leaf_layers
from plugins.registry import resolve


def test_a_loaded_backbone_takes_pictures_and_scales_them_inside() -> None:
    backbone = resolve("tiny")
    model = backbone.load("none")
    network = backbone.build(None, 32)
    network.set_weights(model.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = network(images / 127.5 - 1, training=False)
    np.testing.assert_allclose(model(images, training=False), expected, atol=1e-5)
    assert model.output_shape == (None, 4, 4, 12)


def test_the_image_size_can_be_chosen() -> None:
    assert resolve("tiny").load("none", 64).input_shape == (None, 64, 64, 3)


def test_freezing_leaves_no_trainable_weight() -> None:
    backbone = resolve("tiny")
    model = backbone.load("none")
    backbone.freeze(model)
    assert model.trainable_weights == []


@pytest.mark.parametrize(
    ("layers", "unfrozen"),
    [(1, ["conv3"]), (2, ["conv2", "conv3"]), (99, ["conv1", "conv2", "conv3"])],
)
def test_fine_tuning_unfreezes_the_last_layers_but_no_normalisation(
    layers: int, unfrozen: list[str]
) -> None:
    backbone = resolve("tiny")
    model = backbone.load("none")
    backbone.freeze(model)
    assert [layer.name for layer in backbone.fine_tune(model, layers)] == unfrozen
    trainable = [layer.name for layer in leaf_layers(model) if layer.trainable_weights]
    assert trainable == unfrozen


def test_fine_tuning_no_layer_is_refused() -> None:
    backbone = resolve("tiny")
    with pytest.raises(BackboneError, match="at least 1 layer, not 0"):
        backbone.fine_tune(backbone.load("none"), 0)
