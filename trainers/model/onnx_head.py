"""Adds a head to the ONNX model of an embedder, so that the backbone is converted only once."""

from __future__ import annotations

from typing import Final

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

EMBEDDING: Final = "embedding"
PROBABILITIES: Final = "probabilities"


def join(embedder: onnx.ModelProto, head: keras.Model) -> onnx.ModelProto:
    """Return a copy of an embedder with the operations of a head.

    Args:
        embedder: a model of `conversion.to_onnx` with the output `embedding` (batch, D).
        head: a head with the layers of `head.build_head`.

    Returns:
        A model with the outputs `probabilities` (batch, classes) and `embedding`.
    """
    scaling, logits = head.get_layer("scaling"), head.get_layer("logits")
    kernel, bias = logits.get_weights()
    steps = (
        ("Mul", scaling.scale),
        ("Add", scaling.offset),
        ("MatMul", kernel),
        ("Add", bias),
    )
    model = onnx.ModelProto()
    model.CopyFrom(embedder)
    graph, values = model.graph, EMBEDDING
    for number, (operation, constant) in enumerate(steps):
        name, result = f"head/constant_{number}", f"head/result_{number}"
        graph.initializer.append(_tensor(constant, name))
        graph.node.append(helper.make_node(operation, [values, name], [result]))
        values = result
    is_sigmoid = isinstance(head.get_layer("probabilities"), keras.layers.Activation)
    operation, attributes = ("Sigmoid", {}) if is_sigmoid else ("Softmax", {"axis": -1})
    graph.node.append(helper.make_node(operation, [values], [PROBABILITIES], **attributes))
    shape = ["batch", len(bias)]
    output = helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape)
    graph.output.insert(0, output)
    onnx.checker.check_model(model, full_check=True)
    return model


def _tensor(constant: float | NDArray[np.float32], name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(constant, np.float32), name)
