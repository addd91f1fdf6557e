"""Heat maps as one more output of an exported model: which regions speak for a class.

Grad-CAM (Selvaraju et al. 2017) adds up the feature maps, each weighted by the gradient of the
class's logit, averaged over all positions. In a `Classifier`, only global average pooling and one
or two layers follow the feature maps, so the gradient has a closed form: the exported model can
compute it without automatic differentiation.
"""

from __future__ import annotations

from typing import Final

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from trainers.model.conversion import ConversionError

HEAT_MAPS: Final = "heat_maps"
"""Name of the output."""
_LINEAR: Final = (
    ("Transpose", "feature_maps", "maps"),
    ("MatMul", "maps kernel", HEAT_MAPS),
)
"""The operations for a linear head: operator, inputs, output."""
_HIDDEN: Final = (
    ("Transpose", "feature_maps", "maps"),
    ("MatMul", "maps hidden_kernel", "unit_maps"),
    ("MatMul", "embedding hidden_kernel", "products"),
    ("Add", "products hidden_bias", "units"),
    ("Relu", "units", "activations"),
    ("Sign", "activations", "slopes"),  # the gradient of ReLU: 0 or 1 for each unit
    ("Unsqueeze", "slopes axes", "mask"),
    ("Mul", "unit_maps mask", "active_maps"),
    ("MatMul", "active_maps kernel", HEAT_MAPS),
)
"""The operations for a head with a hidden layer."""


def build_heat_maps(model: onnx.ModelProto, head: keras.Model) -> onnx.ModelProto:
    """Build the operations that compute heat maps from the tensors of an exported model.

    The result is not a model of its own, but a part to append: the bytes of the model, followed by
    those of the part, are a model with the additional output `heat_maps`. (Protobuf merges messages
    that are concatenated.) So the model itself stays as it is, and classifies as fast as before.

    `heat_maps` has the shape (batch, h, w, classes), float32. Each value says how much a position
    of the feature maps adds to the logit of a class, up to a positive factor for each picture. It
    is negative if the position speaks against the class.

    Args:
        model: a model that `conversion.to_onnx` has made from a `Classifier`.
        head: the head of this classifier.

    Raises:
        ConversionError: the embedding of the model is not the average of feature maps.
    """
    tensors = {"feature_maps": _find_feature_maps(model), "embedding": "embedding"}
    constants = _head_constants(head)
    operations = _HIDDEN if "hidden_kernel" in constants else _LINEAR
    part = onnx.ModelProto()
    for name, values in constants.items():
        part.graph.initializer.append(numpy_helper.from_array(values, _inner(name)))
    for operator, inputs, output in operations:
        names = [tensors.get(name) or _inner(name) for name in inputs.split()]
        result = output if output == HEAT_MAPS else _inner(output)
        attributes = {"perm": [0, 2, 3, 1]} if operator == "Transpose" else {}
        part.graph.node.append(helper.make_node(operator, names, [result], **attributes))
    shape = ["batch", "height", "width", constants["kernel"].shape[-1]]
    part.graph.output.append(helper.make_tensor_value_info(HEAT_MAPS, TensorProto.FLOAT, shape))
    joined = onnx.load_from_string(model.SerializeToString() + part.SerializeToString())
    onnx.checker.check_model(joined, full_check=True)
    return part


def _inner(name: str) -> str:
    """Return the name of an inner tensor, which no tensor of the model has."""
    return f"{HEAT_MAPS}/{name}"


def _find_feature_maps(model: onnx.ModelProto) -> str:
    """Return the name of the feature maps: the tensor (batch, D, h, w) that pooling averages."""
    producers = {output: node for node in model.graph.node for output in node.output}
    squeeze = producers["embedding"]
    pooling = producers.get(squeeze.input[0], squeeze)
    if (squeeze.op_type, pooling.op_type) != ("Squeeze", "GlobalAveragePool"):
        raise ConversionError(
            "the exported model does not compute the embedding by global average pooling, so it "
            "cannot have heat maps. Please report this error with the plugin's name and the "
            "installed versions"
        )
    return str(pooling.input[0])


def _head_constants(head: keras.Model) -> dict[str, NDArray[np.generic]]:
    """Return the weights of a head, with its standardisation as part of the first kernel.

    `kernel` is the kernel of the last layer. `hidden_kernel`, `hidden_bias` and `axes` are present
    if there is a hidden layer.
    """
    standardise, logits = head.get_layer("standardise"), head.get_layer("logits")
    kernel = np.asarray(logits.kernel)
    if "hidden" not in {layer.name for layer in head.layers}:
        return {"kernel": _scaled(kernel, standardise.scale)}
    hidden = head.get_layer("hidden")
    first = np.asarray(hidden.kernel)
    offset = np.broadcast_to(np.float32(standardise.offset), len(first))
    return {
        "kernel": kernel,
        "hidden_kernel": _scaled(first, standardise.scale),
        "hidden_bias": offset @ first + np.asarray(hidden.bias),
        "axes": np.array([1, 2]),
    }


def _scaled(kernel: NDArray[np.float32], scale: object) -> NDArray[np.float32]:
    """Multiply the rows of a kernel by the scale, which is (rows,) or a number."""
    return kernel * np.asarray(scale, np.float32).reshape(-1, 1)
