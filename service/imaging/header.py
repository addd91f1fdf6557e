"""What a picture's headers tell: its size, how it stores pixels, and what decoding will cost."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import DamagedImage, UnsupportedMediaType

Pixels = Image.Image | NDArray[np.uint8] | NDArray[np.uint16]
"""What a reader gives: a Pillow image, or an array: (H, W) gray, or (H, W, 2 to 4) with gray and
alpha, RGB, or RGBA."""

_EXIF_ORIENTATION: Final = 0x0112
TRANSPARENT_NANOSECONDS: Final = 12.0
"""What it takes to lay a pixel over white."""

_INTEGERS: Final = {1: "B", 3: "H", 4: "I"}
_XMP_ORIENTATION: Final = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")
_MAX_METADATA: Final = 1 << 20
"""How much of a block of XMP is searched for an orientation, in bytes."""


@dataclass(frozen=True)
class Header:
    """A picture before it is decoded.

    Attributes:
        kind: its name in the table of kinds, e.g. `JPEG`.
        width, height: in pixels, as stored: before the orientation turns it.
        mode: how pixels are stored, in Pillow's words: RGB, RGBA, L, LA, P, CMYK, 1.
        bits: per sample, 1 to 16.
        frames: 1, or more for an animation.
        is_transparent: whether pixels may be transparent.
        orientation: EXIF's, 1 (upright) to 8.
        memory_bytes: most memory that `read` takes, its result included.
        seconds: an estimate of the time that `read` takes, of one core.
        read: decodes the pixels; may raise anything on damaged data.
    """

    kind: str
    width: int
    height: int
    mode: str
    memory_bytes: int
    seconds: float
    read: Callable[[], Pixels]
    bits: int = 8
    frames: int = 1
    is_transparent: bool = False
    orientation: int = 1

    @property
    def pixels(self) -> int:
        return self.width * self.height


def orientation_of(exif: bytes, xmp: bytes = b"") -> int:
    """EXIF's orientation, 1 to 8; XMP's where EXIF has none; 1 where both are absent or damaged.

    Args:
        exif: a block of EXIF, with or without `Exif` before it. It is read here, for Pillow reads
            every tag, which may point at megabytes 65,535 times.
        xmp: a block of XMP.
    """
    found = _XMP_ORIENTATION.search(xmp[:_MAX_METADATA])
    return _exif_orientation(exif.removeprefix(b"Exif\0\0")) or (int(found[1]) if found else 1)


def _exif_orientation(block: bytes) -> int:
    """EXIF's orientation, 1 to 8, or 0."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 0
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", block, entry)
            if tag == _EXIF_ORIENTATION and kind in _INTEGERS:
                (turn,) = struct.unpack_from(order + _INTEGERS[kind], block, entry + 8)
                return turn if 1 <= turn <= 8 else 0
    except struct.error:  # damaged metadata around a sound picture: as good as none
        pass
    return 0


def damaged(kind: str, data: bytes, reason: object = "") -> DamagedImage:
    """The refusal of data that is not what its headers say."""
    detail = f": {reason}" if str(reason) else ""
    return DamagedImage(f"the {kind} data is damaged or cut short ({len(data):,} bytes){detail}")


def unsupported(kind: str, remedy: str) -> UnsupportedMediaType:
    """The refusal of a kind that is known by name and not read."""
    return UnsupportedMediaType(f"kind not supported: {kind}; {remedy}", kind, remedy)
