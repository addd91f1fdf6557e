"""Scalings, compared with Keras' `preprocess_input` of the networks that use them."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest

from plugins.registry import families
from plugins.scaling import as_is, to_bgr_minus_mean, to_unit_range

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3)).astype(np.float32)

KERAS_NAMES = [
    name
    for name, spec in (
        (f"{family}:{variant}", spec)
        for family, backbone in families().items()
        for variant, spec in backbone.variants.items()
    )
    if spec.application
]


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_the_scaling_equals_preprocess_input(name: str) -> None:
    """Tests every network of keras.applications."""
    family, variant = name.split(":")
    spec = families()[family].variants[variant]
    module = sys.modules[getattr(keras.applications, spec.application).__module__]
    expected = module.preprocess_input(IMAGES.copy())
    np.testing.assert_allclose(spec.scale(IMAGES), expected, atol=1e-4)


def test_values_of_scaled_pixels() -> None:
    white = np.full((1, 1, 1, 3), 255, np.float32)
    assert as_is(white).max() == 255
    assert to_unit_range(white).max() == 1
    blue_first = np.asarray(to_bgr_minus_mean(np.array([[[[255, 0, 0]]]], np.float32)))
    np.testing.assert_allclose(blue_first[0, 0, 0], [-103.939, -116.779, 255 - 123.68], rtol=1e-6)
