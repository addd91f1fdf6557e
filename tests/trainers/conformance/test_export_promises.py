"""Checks of the export find broken backbones and say what is wrong."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainers.conformance.conftest import LastResult, Sound


def test_an_operation_that_onnx_lacks_is_named(last_result: LastResult) -> None:
    class Bessel(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return tf.math.bessel_i0e(inputs)

    class Strange(Sound):
        def middle(self, maps: Any) -> Any:
            return Bessel()(maps)

    result = last_result(Strange(), "export")
    assert result.startswith("FAIL export: ")
    assert "no equivalent of the TensorFlow operation BesselI0e" in result


class TraceCounter(keras.layers.Layer):
    """Weights the rows differently each time it is traced, like an operation converted wrongly."""

    traced = 0

    def call(self, inputs: Any) -> Any:
        TraceCounter.traced += 1
        rows = np.arange(inputs.shape[1], dtype=np.float32)[:, np.newaxis, np.newaxis]
        return inputs * np.cos(TraceCounter.traced * rows)


class Changing(Sound):
    def middle(self, maps: Any) -> Any:
        return TraceCounter()(maps)


@pytest.mark.slow
def test_an_export_that_answers_differently_is_found(last_result: LastResult) -> None:
    result = last_result(Changing(), "export", "parity")
    assert result.startswith("FAIL parity: the onnx export differs from Keras: a probability")
    assert "; batch size: 1): make layers random only if `training` is true" in result


@pytest.mark.slow
def test_heat_maps_are_compared_with_grad_cam(last_result: LastResult) -> None:
    result = last_result(Sound(), "export", "heat maps")
    assert result.startswith("ok   heat maps: heat maps differ from Grad-CAM by ")
    result = last_result(Changing(), "export", "heat maps")
    assert result.startswith("FAIL heat maps: the exported heat maps differ from Grad-CAM: ")
