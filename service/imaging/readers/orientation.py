"""The orientation of a picture, from its EXIF or XMP metadata."""

from __future__ import annotations

import re
import struct
from typing import Final

_EXIF_ORIENTATION: Final = 0x0112
_INTEGER_TYPES: Final = {1: "B", 3: "H", 4: "I"}
_XMP_ORIENTATION: Final = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")
_MAX_XMP_BYTES: Final = 1 << 20
"""Bytes of a block of XMP that are searched for an orientation."""


def read_orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Return EXIF's orientation, 1 to 8, else XMP's; 1 if both are absent or damaged.

    Args:
        exif: a block of EXIF, with or without `Exif` before it. It is parsed here because Pillow
            reads every tag, and 65,535 of them may each point at megabytes.
        xmp: a block of XMP.
    """
    match = _XMP_ORIENTATION.search(xmp[:_MAX_XMP_BYTES])
    return _exif_orientation(exif.removeprefix(b"Exif\0\0")) or (int(match[1]) if match else 1)


def _exif_orientation(block: bytes) -> int:
    """Return EXIF's orientation, 1 to 8, or 0 if there is none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 0
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for offset in range(start + 2, start + 2 + 12 * count, 12):
            tag, type_ = struct.unpack_from(order + "HH", block, offset)
            if tag == _EXIF_ORIENTATION and type_ in _INTEGER_TYPES:
                (value,) = struct.unpack_from(order + _INTEGER_TYPES[type_], block, offset + 8)
                return value if 1 <= value <= 8 else 0
    except struct.error:  # damaged metadata of a valid picture: ignore it
        pass
    return 0
