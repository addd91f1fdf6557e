"""Read the orientation of a picture from its EXIF or XMP metadata."""

from __future__ import annotations

import re
import struct
from typing import Final

_EXIF_ORIENTATION: Final = 0x0112
_INTEGER_TYPES: Final = {1: "B", 3: "H", 4: "I"}
_XMP_ORIENTATION: Final = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")
_MAX_XMP_BYTES: Final = 1 << 20
"""Only this many bytes at the start of XMP metadata are searched for an orientation."""


def read_orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Return the orientation in EXIF or, if there is none, in XMP metadata: 1 (upright) to 8.

    Return 1 if neither has an orientation. Damaged metadata is ignored. Pillow is not used here,
    because it reads every EXIF tag: a file can have 65,535 tags that each refer to megabytes.

    Args:
        exif: EXIF metadata, with or without the prefix `Exif\\0\\0`; may be empty.
        xmp: XMP metadata; may be empty.
    """
    match = _XMP_ORIENTATION.search(xmp[:_MAX_XMP_BYTES])
    return _exif_orientation(exif.removeprefix(b"Exif\0\0")) or (int(match[1]) if match else 1)


def _exif_orientation(block: bytes) -> int:
    """Return the orientation in EXIF metadata, 1 to 8; 0 if there is none."""
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
    except struct.error:  # the metadata is damaged, but the picture may be valid
        pass
    return 0
