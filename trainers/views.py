"""Augmentation that can be kept: a few fixed views of every picture, made from its pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

VIEWS = 4
"""As it is, mirrored, zoomed, zoomed and mirrored. On frozen MobileNetV2 0.35 at 224 px, linear
head, mean test accuracy of 8 splits: 1 view 0.879, 2 views 0.878, 4 views 0.889, 6 views with two
more zooms 0.881 (flowers); 0.894, 0.896, 0.898, 0.896 (EuroSAT); +-0.005."""

ZOOM = 1.25
"""How many times larger a zoomed view shows its part of the picture."""


def view(image: NDArray[np.uint8], number: int, key: bytes) -> NDArray[np.uint8]:
    """One view of a picture.

    Args:
        image: (S, S, 3) uint8.
        number: 0 (the picture itself) to VIEWS - 1; odd numbers are mirrored.
        key: the picture's hash, which decides where the zoom looks: the same in every run.
    """
    if number >= 2:
        image = _zoomed(image, key)
    return np.ascontiguousarray(image[:, ::-1] if number % 2 else image)


def _zoomed(image: NDArray[np.uint8], key: bytes) -> NDArray[np.uint8]:
    size = len(image)
    room = size - size / ZOOM
    left, top = (room * byte / 255 for byte in key[:2])
    box = (left, top, left + size / ZOOM, top + size / ZOOM)
    zoomed = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(zoomed)
