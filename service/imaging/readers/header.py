"""The header of a picture: its size, how its pixels are stored, and the cost of decoding them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import DamagedImage, UnsupportedMediaType

StoredPixels = Image.Image | NDArray[np.uint8] | NDArray[np.uint16]
"""Decoded pixels before their conversion to RGB: a Pillow image, or an array of shape (H, W) for
gray, (H, W, 2) for gray with alpha, (H, W, 3) for RGB or (H, W, 4) for RGBA."""

BLENDING_NANOSECONDS_PER_PIXEL: Final = 12.0
"""Estimated time for blending one pixel with white, on one core."""


@dataclass(frozen=True)
class ImageHeader:
    """The properties of a picture that are known before it is decoded.

    Attributes:
        format: name of the format in `service.imaging.formats`, e.g. `JPEG`.
        width, height: size in pixels, before the orientation is applied.
        mode: Pillow's mode of the stored pixels: RGB, RGBA, L, LA, P, CMYK or 1.
        bits: bits per sample, 1 to 16.
        frames: number of frames or pages. If there are several, the number may be too low.
        is_transparent: whether pixels may be transparent.
        orientation: orientation in the metadata, numbered as in EXIF: 1 (upright) to 8.
        memory_bytes: largest number of bytes that `decode` may allocate, including its result.
        seconds: estimated time that `decode` takes on one core.
        decode: function that decodes the pixels; it may raise any exception for damaged data.
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
        """The number of pixels: width times height."""
        return self.width * self.height


def damaged_error(format_name: str, data: bytes, reason: object = "") -> DamagedImage:
    """Make the error for data that is damaged or cut short.

    Args:
        format_name: name of the format, e.g. `JPEG`.
        data: the bytes of the file. The message contains their number.
        reason: what is wrong with the data; empty if that is unknown.
    """
    detail = f": {reason}" if str(reason) else ""
    problem = f"the {format_name} data is damaged or cut short ({len(data):,} bytes){detail}"
    remedy = "copy or download the file again, or save it again in an image editor"
    return DamagedImage(f"{problem}; {remedy}", problem)


def unsupported_error(name: str, remedy: str) -> UnsupportedMediaType:
    """Make the error for a format, or a variant of a format, that Graft recognises but cannot read.

    Args:
        name: name of the format or variant.
        remedy: what the user can do.
    """
    return UnsupportedMediaType(f"format not supported: {name}; {remedy}", name, remedy)
