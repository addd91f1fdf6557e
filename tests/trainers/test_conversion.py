from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import tensorflow as tf

from trainers.conversion import OPSET, to_onnx

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


@tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.uint8, "images")], autograph=False)
def hard_swish(images: Any) -> Any:
    """A scalar added to feature maps, at which tf2onnx' own optimizer stops."""
    maps = tf.cast(images, tf.float32) / 50 - 2
    return {"maps": maps * tf.nn.relu6(maps + 3.0) / 6.0, "halves": maps * 0.5}


def test_outputs_have_our_names_and_give_tensorflows_values() -> None:
    model = to_onnx(hard_swish, ("maps", "halves"))
    assert model.opset_import[0].version == OPSET
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert session.get_inputs()[0].shape == ["batch", 8, 8, 3]
    expected = hard_swish(IMAGES)
    for name, found in zip(
        ("maps", "halves"), session.run(["maps", "halves"], {"images": IMAGES}), strict=True
    ):
        np.testing.assert_allclose(found, expected[name], atol=1e-6)
