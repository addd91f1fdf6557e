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


def build_heat_maps(
    model: onnx.ModelProto, head: keras.Model, whole_picture_channels: int = 0
) -> onnx.ModelProto:
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
        whole_picture_channels: as of `Backbone.whole_picture_channels`. The heat maps leave out
            what these last channels add to the logit, because it belongs to no position.

    Raises:
        ConversionError: the embedding of the model is not the average of feature maps.
    """
    kernel = _scaled_kernel(head)
    kernel[len(kernel) - whole_picture_channels :] = 0
    part = onnx.ModelProto()
    part.graph.initializer.append(numpy_helper.from_array(kernel, _KERNEL))
    maps, is_channels_first = _find_feature_maps(model)
    if is_channels_first:
        part.graph.node.append(helper.make_node("Transpose", [maps], [_MAPS], perm=[0, 2, 3, 1]))
        maps = _MAPS
    part.graph.node.append(helper.make_node("MatMul", [maps, _KERNEL], [HEAT_MAPS]))
    shape = ["batch", "height", "width", kernel.shape[-1]]
    part.graph.output.append(helper.make_tensor_value_info(HEAT_MAPS, TensorProto.FLOAT, shape))
    joined = onnx.load_from_string(model.SerializeToString() + part.SerializeToString())
    onnx.checker.check_model(joined, full_check=True)
    return part


def _find_feature_maps(model: onnx.ModelProto) -> tuple[str, bool]:
    """Return the name of the feature maps that pooling averages, and whether channels come first.

    Their shape is (batch, D, h, w) after a convolution, and (batch, h, w, D) in a transformer.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    last = producers["embedding"]
    axes = [list(attribute.ints) for attribute in last.attribute if attribute.name == "axes"]
    if last.op_type == "ReduceMean" and axes == [[1, 2]]:
        return str(last.input[0]), False
    pooling = producers.get(last.input[0], last)
    if (last.op_type, pooling.op_type) != ("Squeeze", "GlobalAveragePool"):
        raise ConversionError(
            "the exported model does not compute the embedding by global average pooling, so it "
            "cannot have heat maps. Please report this error with the plugin's name and the "
            "installed versions"
        )
    return str(pooling.input[0]), True


def _scaled_kernel(head: keras.Model) -> NDArray[np.float32]:
    """Return the kernel (D, classes) of a head for embeddings that are not scaled."""
    kernel = np.asarray(head.get_layer("logits").kernel)
    scale = head.get_layer("scaling").scale  # (D,) or a number
    return kernel * np.asarray(scale, np.float32).reshape(-1, 1)
