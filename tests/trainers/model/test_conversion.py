from __future__ import annotations

import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from plugins.registry import resolve
from trainers.model.conversion import OPSET, ConversionError, to_onnx

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


@tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.uint8, "images")], autograph=False)
def hard_swish(images: Any) -> Any:
    """Adds a scalar to feature maps, at which the optimizer of tf2onnx fails."""
    maps = tf.cast(images, tf.float32) / 50 - 2
    return {"maps": maps * tf.nn.relu6(maps + 3.0) / 6.0, "halves": maps * 0.5}


def test_outputs_have_our_names_and_give_tensorflows_values() -> None:
    model = to_onnx(hard_swish, ("maps", "halves"))
    assert model.opset_import[0].version == OPSET
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert session.get_inputs()[0].shape == ["batch", 8, 8, 3]
    expected = hard_swish(IMAGES)
    for name, actual in zip(
        ("maps", "halves"), session.run(["maps", "halves"], {"images": IMAGES}), strict=True
    ):
        np.testing.assert_allclose(actual, expected[name], atol=1e-6)


@tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.uint8, "images")], autograph=False)
def grouped_gelu(images: Any) -> Any:
    """The operations of ConvNeXt: a convolution compiled by XLA, and the exact GELU."""
    kernel = tf.reshape(tf.range(27, dtype=tf.float32) / 27 - 0.4, (3, 3, 1, 3))

    @tf.function(jit_compile=True)
    def convolution(maps: Any) -> Any:
        return tf.nn.convolution(maps, kernel, 1, "SAME")

    maps = convolution(tf.cast(images, tf.float32) / 127.5 - 1.0)
    return {"maps": maps * 0.5 * tf.math.erfc(-maps * np.float32(np.sqrt(0.5)))}


def test_compiled_grouped_convolutions_and_the_exact_gelu_are_converted() -> None:
    model = to_onnx(grouped_gelu, ("maps",))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = grouped_gelu(IMAGES)["maps"]
    np.testing.assert_allclose(session.run(None, {"images": IMAGES})[0], expected, atol=1e-6)
    assert not tf.config.functions_run_eagerly()


def test_the_traced_function_keeps_its_own_graph() -> None:
    """TensorFlow cannot run a grouped convolution on a CPU without XLA: the SavedModel needs it."""
    to_onnx(grouped_gelu, ("maps",))
    called = grouped_gelu.get_concrete_function().graph.as_graph_def().library.function
    assert any("_XlaMustCompile" in function.attr for function in called)


@tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.uint8, "images")], autograph=False)
def strange(images: Any) -> Any:
    return {"maps": tf.math.bessel_i0e(tf.cast(images, tf.float32))}


def test_an_operation_that_onnx_lacks_is_named() -> None:
    with pytest.raises(
        ConversionError,
        match=r"cannot be converted to ONNX: .* the TensorFlow operation BesselI0e",
    ):
        to_onnx(strange, ("maps",))


def test_garbage_collection_settings_are_restored() -> None:
    settings = (gc.get_threshold(), gc.get_freeze_count())
    to_onnx(hard_swish, ("maps", "halves"))
    assert (gc.get_threshold(), gc.get_freeze_count()) == settings


def operations_of_a_mobilenet() -> list[str]:
    network = resolve("mobilenet:v3-small").load("none", 64)

    @tf.function(
        input_signature=[tf.TensorSpec((None, 64, 64, 3), tf.uint8, "images")], autograph=False
    )
    def maps(images: Any) -> Any:
        outputs = network(tf.cast(images, tf.float32), training=False)
        return {"embedding": tf.reduce_mean(outputs, [1, 2])}

    return [node.op_type for node in to_onnx(maps, ("embedding",)).graph.node]


@pytest.mark.slow
def test_feature_maps_are_transposed_once() -> None:
    """One Transpose, from the pictures' layout to ONNX's, in a network full of hard swishes.

    Runs in a new process, as a training run does: tf2onnx continues to number its nodes after
    earlier conversions in the process, and after many other tests it left two.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        operations = executor.submit(operations_of_a_mobilenet).result()
    assert operations.count("Transpose") == 1


def test_tensorflow_converts_variables_to_constants() -> None:
    """The conversion to ONNX uses `convert_variables_to_constants_v2`, which is not public."""
    factor = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32)], autograph=False)
    def times(numbers: Any) -> Any:
        return numbers * factor

    traced = times.get_concrete_function()
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    factor.assign(5.0)
    assert frozen(tf.constant([3.0]))[0].numpy().tolist() == [6.0]
    assert [tensor.dtype for tensor in frozen.inputs] == [tf.float32]
    assert "ReadVariableOp" not in {node.op for node in frozen.graph.as_graph_def().node}
