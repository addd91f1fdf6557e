"""Checks of the export find broken backbones and say what is wrong."""

from __future__ import annotations

from typing import Any

import keras
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


@pytest.mark.slow
def test_an_export_that_answers_differently_is_found(last_result: LastResult) -> None:
    class TraceCounter(keras.layers.Layer):
        """Adds another value each time it is traced, like an operation converted wrongly."""

        traced = 0

        def call(self, inputs: Any) -> Any:
            TraceCounter.traced += 1
            return inputs + float(TraceCounter.traced)

    class Changing(Sound):
        def middle(self, maps: Any) -> Any:
            return TraceCounter()(maps)

    result = last_result(Changing(), "export", "parity")
    assert result.startswith("FAIL parity: the onnx export differs from Keras: a probability")
    assert "; batch size: 1): make layers random only if `training` is true" in result
