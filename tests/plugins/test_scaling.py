"""Our scalings against Keras' own `preprocess_input` of the networks that use them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from plugins.registry import families, resolve
from plugins.scaling import as_is, to_bgr_minus_mean, to_unit_range

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3)).astype(np.float32)

APPLICATIONS = keras.applications
PREPROCESSING = {
    "mobilenet:v2-1.0": APPLICATIONS.mobilenet_v2.preprocess_input,
    "mobilenet:v3-small": APPLICATIONS.mobilenet_v3.preprocess_input,
    "efficientnet:b0": APPLICATIONS.efficientnet.preprocess_input,
    "efficientnet:v2-b0": APPLICATIONS.efficientnet_v2.preprocess_input,
    "resnet:50": APPLICATIONS.resnet.preprocess_input,
    "vgg:16": APPLICATIONS.vgg16.preprocess_input,
}


@pytest.mark.parametrize("name", PREPROCESSING)
def test_scaling_is_what_the_network_was_trained_with(name: str) -> None:
    backbone = resolve(name)
    scaled = families()[backbone.family].variants[backbone.variant].scale(IMAGES)
    expected = PREPROCESSING[name](IMAGES.copy())
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


def test_scalings_by_value() -> None:
    white = np.full((1, 1, 1, 3), 255, np.float32)
    assert as_is(white).max() == 255
    assert to_unit_range(white).max() == 1
    blue_first = np.asarray(to_bgr_minus_mean(np.array([[[[255, 0, 0]]]], np.float32)))
    np.testing.assert_allclose(blue_first[0, 0, 0], [-103.939, -116.779, 255 - 123.68], rtol=1e-6)
