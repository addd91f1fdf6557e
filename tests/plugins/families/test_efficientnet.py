"""B0 to B7 divide by ImageNet's deviation twice; a weights file has the first division only."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from plugins.registry import resolve


def normalization(model: keras.Model) -> keras.layers.Normalization:
    (layer,) = (layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    return layer


@pytest.mark.slow
def test_weights_from_a_file_get_both_divisions(tmp_path: Path) -> None:
    backbone = resolve("efficientnet:b0")
    network = backbone.build(None, 32)
    mean, variance = np.array([0.4, 0.5, 0.6]), np.array([0.04, 0.09, 0.16])
    normalization(network).set_weights([mean, variance, np.array(0)])
    network.save_weights(tmp_path / "b0.weights.h5")
    loaded = normalization(backbone.load(str(tmp_path / "b0.weights.h5"), 32))
    pixels = np.full((1, 32, 32, 3), 0.8, np.float32)
    actual = np.asarray(loaded(pixels))[0, 0, 0]
    # (x - mean) / sqrt(variance), as the layer itself does, then / sqrt(variance) once more
    np.testing.assert_allclose(actual, (0.8 - mean) / variance, rtol=1e-4)
