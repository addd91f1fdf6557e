"""Checks of the loaded network find broken backbones and say what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
import tensorflow as tf

from plugins.base import Backbone, BackboneError, Variant
from plugins.registry import resolve
from plugins.scaling import as_is, to_bgr_minus_mean, to_unit_range
from tests.trainers.conformance.conftest import LastResult, Sound


def scaled_by(scale: Callable[[Any], Any], application: str = "", parameters: int = 0) -> Backbone:
    class Scaled(Sound):
        variants = {"s": Variant(application, 32, parameters, scale)}

    if application:
        Scaled.build = Backbone.build  # type: ignore[method-assign]
    return Scaled()


def test_a_wrong_parameter_count_is_reported_with_the_right_one(last_result: LastResult) -> None:
    result = last_result(scaled_by(to_unit_range, parameters=7), "parameters")
    assert result.startswith("FAIL parameters: the network has 768 weights, ")
    assert result.endswith("but its Variant declares 7: write 768 in the Variant")


def test_a_min_image_size_that_is_too_small_is_found(last_result: LastResult) -> None:
    class TooSmall(Sound):
        variants = {"s": Variant("", 32, 768, to_unit_range, min_image_size=2)}

    assert "increase min_image_size" in last_result(TooSmall(), "smallest size")


def test_a_size_below_the_smallest_is_refused() -> None:
    with pytest.raises(
        BackboneError, match=r"xception:1 needs pictures of at least 71 pixels per side"
    ):
        resolve("xception").load("none", 70)


def test_unscaled_pixels_are_found(last_result: LastResult) -> None:
    result = last_result(scaled_by(as_is), "scaling")
    assert result.startswith("FAIL scaling: the layer first gets ")
    assert "the pixels are not scaled; in the Variant, use the scale function" in result


def test_pixels_scaled_twice_are_found(last_result: LastResult) -> None:
    result = last_result(scaled_by(lambda images: images / 255 / 255), "scaling")
    assert result.startswith("FAIL scaling: the layer first gets values from 3.08e-05 to 0.0039")
    assert "the pixels are scaled twice" in result


@pytest.mark.parametrize("scale", [to_unit_range, to_bgr_minus_mean, lambda images: images / 255])
def test_usual_scalings_are_accepted(scale: Any, last_result: LastResult) -> None:
    assert last_result(scaled_by(scale), "scaling").startswith("ok   scaling: the layer first ")


@pytest.mark.slow
def test_the_wrong_scaling_of_a_keras_network_is_found(last_result: LastResult) -> None:
    result = last_result(scaled_by(to_bgr_minus_mean, "MobileNetV2"), "scaling")
    assert "that Keras has for MobileNetV2 it would get values from -0.98" in result
    assert last_result(scaled_by(to_unit_range, "MobileNetV2"), "scaling").startswith("ok")


def test_a_load_without_scaling_is_found(last_result: LastResult) -> None:
    class Unscaled(Sound):
        def load(self, weights: str | None = None, image_size: int | None = None) -> Any:
            return self.build(None, image_size or 32)

    assert "the pixels are not scaled" in last_result(Unscaled(), "scaling")
    assert "override build()" in last_result(Unscaled(), "smallest size")


def test_a_network_that_begins_with_normalisation_is_accepted(
    last_result: LastResult,
) -> None:
    class Normalises(Sound):
        variants = {"s": Variant("", 32, 0, as_is)}

        def build(self, weights: str | None, image_size: int) -> Any:
            images = keras.Input((image_size, image_size, 3))
            return keras.Model(images, keras.layers.BatchNormalization()(images))

    assert "normalises them with learned statistics" in last_result(Normalises(), "scaling")


@pytest.mark.slow
def test_a_layer_that_is_random_at_inference_is_found(last_result: LastResult) -> None:
    class Noise(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs + tf.random.uniform(tf.shape(inputs))

    class Random(Sound):
        def middle(self, maps: Any) -> Any:
            return Noise()(maps)

    assert "a layer is random at inference" in last_result(Random(), "determinism")
    assert "make layers random only if `training` is true" in last_result(
        Random(), "export", "parity"
    )


def test_pictures_that_depend_on_their_batch_are_found(last_result: LastResult) -> None:
    class Mixes(Sound):
        def middle(self, maps: Any) -> Any:
            return maps - keras.ops.mean(maps, axis=0, keepdims=True)

    assert "a layer mixes the pictures of a batch" in last_result(Mixes(), "determinism")
