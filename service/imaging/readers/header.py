"""What the headers of a picture say: its size, how pixels are stored, and what decoding costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import DamagedImage, UnsupportedMediaType

StoredPixels = Image.Image | NDArray[np.uint8] | NDArray[np.uint16]
"""Decoded pixels before conversion to RGB: a Pillow image, or an array of (H, W) gray, (H, W, 2)
gray and alpha, (H, W, 3) RGB or (H, W, 4) RGBA."""

BLENDING_NANOSECONDS_PER_PIXEL: Final = 12.0
"""Time to blend a pixel with white."""


@dataclass(frozen=True)
class ImageHeader:
    """A picture before it is decoded.

    Attributes:
        format: its name in the table of formats, e.g. `JPEG`.
        width, height: in pixels, as stored: before the orientation is applied.
        mode: how pixels are stored, as Pillow calls it: RGB, RGBA, L, LA, P, CMYK, 1.
        bits: per sample, 1 to 16.
        frames: 1, or more for an animation.
        is_transparent: whether pixels may be transparent.
        orientation: EXIF's, 1 (upright) to 8.
        memory_bytes: most memory that `decode` takes, with its result.
        seconds: an estimate of the time that `decode` takes on one core.
        decode: decodes the pixels; may raise anything on damaged data.
    """

    format: str
    width: int
    height: int
    mode: str
    memory_bytes: int
    seconds: float
    decode: Callable[[], StoredPixels]
    bits: int = 8
    frames: int = 1
    is_transparent: bool = False
    orientation: int = 1

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def damaged_error(format_name: str, data: bytes, reason: object = "") -> DamagedImage:
    """Make the error about data that does not match its headers."""
    detail = f": {reason}" if str(reason) else ""
    return DamagedImage(
        f"the {format_name} data is damaged or cut short ({len(data):,} bytes){detail}"
    )


def unsupported_error(name: str, remedy: str) -> UnsupportedMediaType:
    """Make the error about a format, or a variant of one, that is known and not read."""
    return UnsupportedMediaType(f"format not supported: {name}; {remedy}", name, remedy)
