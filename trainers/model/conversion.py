"""Converts a TensorFlow function to ONNX, with weights as constants and with fixed tensor names."""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf

from service.errors import GraftError

OPSET = 17
"""The version of ONNX's operator set. It has all operators that the built-in backbones need."""


class ConversionError(GraftError):
    """A network contains an operation that cannot be converted to ONNX."""


def serving_function(model: keras.Model) -> Any:
    """Return a tf.function that runs a network on `images`, pictures (batch, S, S, 3) uint8."""
    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, "images")

    @tf.function(input_signature=[signature], autograph=False)
    def serve(images: Any) -> Any:
        return model(tf.cast(images, tf.float32), training=False)

    return serve


def to_onnx(function: Any, outputs: tuple[str, ...]) -> onnx.ModelProto:
    """Convert a tf.function with one argument, `images`, to an ONNX model, and check the model.

    `keras.Model.export(format="onnx")` is not used, because it turns the constants of
    EfficientNet's Normalization into required inputs (Keras 3.15).

    Args:
        function: a tf.function. Its input signature is one tensor, whose first dimension is None.
        outputs: the keys of the dictionary of tensors that `function` returns. If it returns only
            one tensor: the name for this tensor.

    Returns:
        A model with the input `images` and the outputs `outputs`. The first dimension of all inputs
        and outputs is named `batch`.

    Raises:
        ConversionError: the function uses an operation that cannot be converted to ONNX. The
            message names the operation.
    """
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(_trace_flat(function), lower_control_flow=False)
    graph = frozen.graph.as_graph_def()
    _give_scalars_a_dimension(graph)
    with warnings.catch_warnings(), _frequent_garbage_collection():
        warnings.simplefilter("ignore", FutureWarning)  # tf2onnx uses deprecated names of NumPy
        model, _ = tf2onnx.convert.from_graph_def(
            graph,
            input_names=[tensor.name for tensor in frozen.inputs],
            output_names=[tensor.name for tensor in frozen.outputs],
            opset=OPSET,
            custom_op_handlers={"Erfc": (_convert_erfc, [])},
        )
    _require_onnx_operations(model)
    # TensorFlow sorts the outputs of a function by name.
    names = dict(zip(sorted(outputs), model.graph.output, strict=True))
    _name_tensors(model, {model.graph.input[0].name: "images"})
    _name_tensors(model, {value.name: name for name, value in names.items()})
    onnx.checker.check_model(model, full_check=True)
    return model


@contextlib.contextmanager
def _frequent_garbage_collection() -> Iterator[None]:
    """Run Python's garbage collector often inside this context, and only on new objects.

    tf2onnx processes the graph in several passes. Before each pass, it copies the graph with all
    weights, and leaves the old copy in a reference cycle. TensorFlow creates so many objects that
    Python rarely collects reference cycles. So the copies would fill the memory.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # resets the number of old objects, which would delay full collections
    thresholds = gc.get_threshold()
    gc.set_threshold(1000, 2, 2)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _trace_flat(function: Any) -> Any:
    """Trace a tf.function again, with all functions that it calls inlined.

    Keras wraps grouped convolutions, as in ConvNeXt, in a function that XLA compiles. TensorFlow's
    optimizers do not inline such functions. With `run_functions_eagerly`, inner functions run as
    plain Python and add their operations to the outer graph. Do not make the SavedModel from
    this graph: on CPUs, TensorFlow needs XLA for grouped convolutions.
    """
    python = function.python_function
    flat = tf.function(python, input_signature=function.input_signature, autograph=False)
    was_eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        return flat.get_concrete_function()
    finally:
        tf.config.run_functions_eagerly(was_eager)


def _convert_erfc(context: Any, node: Any, name: str, arguments: list[Any]) -> None:
    """Convert Erfc(x) to 1 - Erf(x), because ONNX has no Erfc. The GELU of ConvNeXt uses Erfc."""
    node.type = "Erf"
    one = context.make_const(f"{name}_one", np.ones(1, np.float32)).output[0]
    erf = node.output[0]
    context.insert_new_node_on_output("Sub", erf, name=f"{name}_complement", inputs=[one, erf])


def _require_onnx_operations(model: onnx.ModelProto) -> None:
    """Raise ConversionError if the model contains an operation that tf2onnx could not convert."""
    unknown = {
        node.op_type for node in model.graph.node if not onnx.defs.has(node.op_type, node.domain)
    }
    if unknown:
        raise ConversionError(
            f"the network cannot be converted to ONNX: opset {OPSET} has no equivalent of the "
            f"TensorFlow operation{'' if len(unknown) == 1 else 's'} {', '.join(sorted(unknown))}. "
            "Choose another backbone, or build the network from other operations"
        )


def _give_scalars_a_dimension(graph: Any) -> None:
    """Change scalar float constants to shape (1,) if they are only added, subtracted or multiplied.

    The optimizer of tf2onnx 1.17 cannot move transposes past a scalar that is added to a feature
    map. MobileNetV3 adds such a scalar in every hard swish, so its ONNX model would contain many
    transposes.
    """
    users: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name.split(":")[0].lstrip("^"), set()).add(node.op)
    for node in graph.node:
        value = node.attr["value"].tensor if node.op == "Const" else None
        if value is None or value.dtype != tf.float32.as_datatype_enum or value.tensor_shape.dim:
            continue
        if users.get(node.name, set()) <= {"AddV2", "Mul", "Sub"}:
            value.tensor_shape.dim.add().size = 1


def _name_tensors(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename tensors, and name the first dimension of all inputs and outputs `batch`."""
    graph = model.graph
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]  # shapes of inner tensors, listed under their old names
