"""Heat maps as one more output of an exported model: which regions speak for a class.

Grad-CAM (Selvaraju et al. 2017) adds up the feature maps, each weighted by the gradient of the
class's logit, averaged over all positions. In a `Classifier`, only global average pooling and a
linear head follow the feature maps, so the gradient is the kernel of the head: the exported model
can compute the heat maps without automatic differentiation (Zhou et al. 2016, class activation
maps).
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
_MAPS, _KERNEL = f"{HEAT_MAPS}/maps", f"{HEAT_MAPS}/kernel"  # no tensor of a model has these names


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
    kernel = _scaled_kernel(head)
    part = onnx.ModelProto()
    part.graph.initializer.append(numpy_helper.from_array(kernel, _KERNEL))
    part.graph.node.append(
        helper.make_node("Transpose", [_find_feature_maps(model)], [_MAPS], perm=[0, 2, 3, 1])
    )
    part.graph.node.append(helper.make_node("MatMul", [_MAPS, _KERNEL], [HEAT_MAPS]))
    shape = ["batch", "height", "width", kernel.shape[-1]]
    part.graph.output.append(helper.make_tensor_value_info(HEAT_MAPS, TensorProto.FLOAT, shape))
    joined = onnx.load_from_string(model.SerializeToString() + part.SerializeToString())
    onnx.checker.check_model(joined, full_check=True)
    return part


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


def _scaled_kernel(head: keras.Model) -> NDArray[np.float32]:
    """Return the kernel (D, classes) of a head for embeddings that are not standardised."""
    kernel = np.asarray(head.get_layer("logits").kernel)
    scale = head.get_layer("standardise").scale  # (D,) or a number
    return kernel * np.asarray(scale, np.float32).reshape(-1, 1)
