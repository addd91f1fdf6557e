from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.engine.onnx_session import open_session
from trainers.evaluation.calibration import apply_temperature
from trainers.model.conversion import ConversionError
from trainers.model.onnx_temperature import divide_logits


def make_model(*operations: str) -> onnx.ModelProto:
    """A chain of operations from `images`, which are logits here, to `probabilities`."""
    names = ["images", *(f"value {number}" for number in range(1, len(operations)))]
    names.append("probabilities")
    nodes = [
        helper.make_node(operation, [names[number]], [names[number + 1]])
        for number, operation in enumerate(operations)
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3])]
        for name in ("images", "probabilities")
    ]
    graph = helper.make_graph(nodes, "logits", *ends)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("operations", [("Softmax",), ("Neg", "Softmax", "Identity")])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_probabilities_are_those_of_divided_logits(
    operations: tuple[str, ...], temperature: float
) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (5, 3)).astype(np.float32)
    model = make_model(*operations)
    (before,) = open_session(model.SerializeToString()).run(None, {"images": logits})
    divide_logits(model, temperature)
    (after,) = open_session(model.SerializeToString()).run(None, {"images": logits})
    np.testing.assert_allclose(after, apply_temperature(before, temperature), atol=1e-6)


def test_probabilities_without_logits_are_an_error() -> None:
    with pytest.raises(ConversionError, match="not compute its probabilities by softmax"):
        divide_logits(make_model("Sigmoid"), 2.0)
