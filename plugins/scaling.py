"""Functions that scale pixel values for a network. Every ImageNet network of Keras uses one."""

from __future__ import annotations

from typing import Any


def as_is(images: Any) -> Any:
    """RGB 0..255 -> unchanged: for networks whose first layers scale the pixels."""
    return images


def to_unit_range(images: Any) -> Any:
    """RGB 0..255 -> RGB -1..1 ("tf" mode of keras.applications)."""
    return images / 127.5 - 1.0


def to_bgr_minus_mean(images: Any) -> Any:
    """RGB 0..255 -> BGR minus ImageNet's mean colour ("caffe" mode of keras.applications)."""
    import keras

    mean_bgr = keras.ops.convert_to_tensor([103.939, 116.779, 123.68], dtype="float32")
    return images[..., ::-1] - mean_bgr


def to_imagenet_standardized(images: Any) -> Any:
    """RGB 0..255 -> RGB standardised with ImageNet's mean and deviation ("torch" mode of Keras)."""
    import keras

    mean = keras.ops.convert_to_tensor([0.485, 0.456, 0.406], dtype="float32")
    deviation = keras.ops.convert_to_tensor([0.229, 0.224, 0.225], dtype="float32")
    return (images / 255.0 - mean) / deviation
