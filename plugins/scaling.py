"""Functions that scale pixel values for a network. Every ImageNet network of Keras needs one."""

from __future__ import annotations

from typing import Any


def as_is(images: Any) -> Any:
    """Return RGB 0..255 unchanged, for networks whose first layers scale the pixels."""
    return images


def to_unit_range(images: Any) -> Any:
    """Scale RGB 0..255 to RGB -1..1.

    This is the "tf" mode of keras.applications.
    """
    return images / 127.5 - 1.0


def to_bgr_minus_mean(images: Any) -> Any:
    """Convert RGB 0..255 to BGR, and subtract ImageNet's mean colour.

    This is the "caffe" mode of keras.applications.
    """
    import keras

    mean_bgr = keras.ops.convert_to_tensor([103.939, 116.779, 123.68], dtype="float32")
    return images[..., ::-1] - mean_bgr


def to_imagenet_standardized(images: Any) -> Any:
    """Standardise RGB 0..255 with ImageNet's mean and standard deviation.

    This is the "torch" mode of keras.applications.
    """
    import keras

    mean = keras.ops.convert_to_tensor([0.485, 0.456, 0.406], dtype="float32")
    deviation = keras.ops.convert_to_tensor([0.229, 0.224, 0.225], dtype="float32")
    return (images / 255.0 - mean) / deviation
