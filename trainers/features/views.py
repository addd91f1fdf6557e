"""Augmentation that can be cached: a few fixed views of every picture."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Flip = Literal["none", "horizontal", "all"]
FLIPS: tuple[Flip, ...] = get_args(Flip)

MIRRORED, ZOOMED, UPSIDE_DOWN = 1, 2, 4
"""The number of a view is a bit mask of these changes; 0 is the unchanged picture."""

TRAINING_VIEWS: dict[Flip, tuple[int, ...]] = {
    "none": (0, ZOOMED),
    "horizontal": (0, MIRRORED, ZOOMED, MIRRORED | ZOOMED),
    "all": (0, MIRRORED, UPSIDE_DOWN, MIRRORED | UPSIDE_DOWN),
}
"""The numbers of the views that a model learns from, by --flip."""
UNZOOMED_VIEWS: dict[Flip, tuple[int, ...]] = {
    flip: tuple(number for number in numbers if not number & ZOOMED)
    for flip, numbers in TRAINING_VIEWS.items()
}

VIEW_COUNT = 8
ZOOM = 1.25
"""How many times larger a zoomed view shows its part of the picture."""


def make_view(image: NDArray[np.uint8], number: int, key: bytes) -> NDArray[np.uint8]:
    """Make one view of a picture.

    Args:
        image: (S, S, 3) uint8.
        number: 0 (the picture itself) to VIEW_COUNT - 1.
        key: the hash of the picture, which decides where a zoom is centred: the same in every run.
    """
    if number & ZOOMED:
        image = _zoom(image, key)
    rows = slice(None, None, -1 if number & UPSIDE_DOWN else 1)
    columns = slice(None, None, -1 if number & MIRRORED else 1)
    return np.ascontiguousarray(image[rows, columns])


def _zoom(image: NDArray[np.uint8], key: bytes) -> NDArray[np.uint8]:
    size = len(image)
    margin = size - size / ZOOM
    left, top = (margin * byte / 255 for byte in key[:2])
    box = (left, top, left + size / ZOOM, top + size / ZOOM)
    zoomed = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(zoomed)
