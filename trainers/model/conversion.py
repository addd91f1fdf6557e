"""Convert a TensorFlow function to ONNX: variables become constants, tensors get our names."""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from service.errors import GraftError

OPSET = 17
"""ONNX operator set to which tf2onnx converts every built-in backbone without loss."""


class ConversionError(GraftError):
    """A network contains an operation that ONNX lacks."""


def to_onnx(function: Any, outputs: tuple[str, ...]) -> onnx.ModelProto:
    """Convert a tf.function of one tensor, `images`, to a checked ONNX model.

    `keras.Model.export(format="onnx")` would turn the constants of EfficientNet's Normalization
    into required inputs (keras 3.15).

    Args:
        function: has an input signature whose first dimension is None.
        outputs: the names of what it returns, in alphabetical order as TensorFlow sorts them.

    Returns:
        A model with the input `images` and `outputs`, whose first dimensions are called `batch`.

    Raises:
        ConversionError: ONNX lacks an operation; the message names it.
    """
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(_trace_flat(function), lower_control_flow=False)
    graph = frozen.graph.as_graph_def()
    _give_scalars_a_dimension(graph)
    with warnings.catch_warnings(), _frequent_garbage_collection():
        warnings.simplefilter("ignore", FutureWarning)  # tf2onnx uses old names of numpy
        model, _ = tf2onnx.convert.from_graph_def(
            graph,
            input_names=[tensor.name for tensor in frozen.inputs],
            output_names=[tensor.name for tensor in frozen.outputs],
            opset=OPSET,
            custom_op_handlers={"Erfc": (_convert_erfc, [])},
        )
    _require_onnx_operations(model)
    names = dict(zip(sorted(outputs), model.graph.output, strict=True))
    _name_tensors(model, {model.graph.input[0].name: "images"})
    _name_tensors(model, {value.name: name for name, value in names.items()})
    onnx.checker.check_model(model, full_check=True)
    return model


@contextlib.contextmanager
def _frequent_garbage_collection() -> Iterator[None]:
    """Collect garbage often, and only among objects that are made inside.

    tf2onnx copies the graph with all its weights before each of its passes, and leaves the copies
    in reference cycles. TensorFlow has millions of objects, so Python would rarely collect them.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # resets the count of old objects, which delays full collections
    thresholds = gc.get_threshold()
    gc.set_threshold(1000, 2, 2)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _trace_flat(function: Any) -> Any:
    """Trace a tf.function again, with the functions that it calls inlined.

    Keras wraps grouped convolutions (ConvNeXt's) in a function compiled by XLA, which no optimizer
    of TensorFlow inlines. `run_functions_eagerly` runs inner functions as plain Python, which adds
    their operations to this graph. Only the ONNX is made from it: on a CPU, TensorFlow needs XLA
    for such convolutions, so the SavedModel keeps it.
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
    """Write Erfc(x), which the exact GELU (ConvNeXt) uses, as 1 - Erf(x): ONNX lacks Erfc."""
    node.type = "Erf"
    one = context.make_const(f"{name}_one", np.ones(1, np.float32)).output[0]
    erf = node.output[0]
    context.insert_new_node_on_output("Sub", erf, name=f"{name}_complement", inputs=[one, erf])


def _require_onnx_operations(model: onnx.ModelProto) -> None:
    """Raise ConversionError if tf2onnx left in an operation that it could not convert."""
    unknown = {
        node.op_type for node in model.graph.node if not onnx.defs.has(node.op_type, node.domain)
    }
    if unknown:
        raise ConversionError(
            f"the network cannot be converted to ONNX: opset {OPSET} lacks TensorFlow's "
            f"{', '.join(sorted(unknown))}; build the network without it, or choose another one"
        )


def _give_scalars_a_dimension(graph: Any) -> None:
    """Change float constants of shape () to shape (1,) where that means the same.

    The optimizer of tf2onnx 1.17 fails at a scalar that is added to a feature map. MobileNetV3 adds
    one in every hard swish, and would keep 102 transposes instead of 1.
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
    """Rename tensors everywhere, and the first dimension of inputs and outputs to `batch`."""
    graph = model.graph
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]  # shapes of inner tensors, under names that are no longer true
