"""The tables of variants, compared with keras.applications: networks and input sizes."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import pytest
from keras.src.applications import imagenet_utils

from plugins.base import Variant
from plugins.registry import families

OURS = {
    f"{family}:{variant}": spec
    for family, backbone in families().items()
    if backbone.__module__.startswith("plugins.")
    for variant, spec in backbone.variants.items()
    if spec.application
}


def test_every_network_of_keras_is_a_backbone() -> None:
    """After an upgrade of Keras, add new networks, or say here and in docs/backbones.md why not."""
    networks = {name for name, _ in inspect.getmembers(keras.applications, inspect.isfunction)}
    assert len(networks) >= 38
    assert networks == {spec.application for spec in OURS.values()}


class SizesError(Exception):
    """The input sizes that a network asks for, raised before anything is built."""


@pytest.mark.parametrize("name", OURS)
def test_image_sizes_equal_those_of_keras(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_sizes(shape: Any, default_size: int, min_size: int, **others: Any) -> None:
        raise SizesError(default_size, min_size)

    spec: Variant = OURS[name]
    if spec.application.startswith("MobileNetV3"):
        assert (spec.image_size, spec.min_image_size) == (224, 32)  # constants inside Keras
        return
    monkeypatch.setattr(imagenet_utils, "obtain_input_shape", raise_sizes)
    with pytest.raises(SizesError) as caught:
        getattr(keras.applications, spec.application)(weights=None, **spec.arguments)
    assert caught.value.args == (spec.image_size, spec.min_image_size)
