"""Divides the logits of an exported model by a temperature, without exporting it again."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from trainers.model.conversion import ConversionError


def divide_logits(model: onnx.ModelProto, temperature: float) -> None:
    """Divide the logits of an ONNX model by a number, in place.

    Args:
        model: a model that `conversion.to_onnx` has made from a `Classifier`.

    Raises:
        ConversionError: the probabilities of the model are not the softmax of logits.
    """
    nodes = list(model.graph.node)
    producers = {output: index for index, node in enumerate(nodes) for output in node.output}
    index = producers["probabilities"]
    while nodes[index].op_type == "Identity":
        index = producers[nodes[index].input[0]]
    softmax = nodes[index]
    if softmax.op_type != "Softmax":
        raise ConversionError(
            "the exported model does not compute its probabilities by softmax, so they cannot be "
            "calibrated. Please report this error with the plugin's name and the installed versions"
        )
    names = [softmax.input[0], "temperature"]
    model.graph.initializer.append(
        numpy_helper.from_array(np.float32(temperature).reshape(()), "temperature")
    )
    model.graph.node.insert(index, helper.make_node("Div", names, ["calibrated_logits"]))
    model.graph.node[index + 1].input[0] = "calibrated_logits"
    onnx.checker.check_model(model, full_check=True)
