"""Read the orientation of a PNG from its EXIF and text chunks."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import Final

from service.imaging.readers.orientation import read_orientation

Texts = dict[bytes, tuple[bytes, bytes]]
"""Keyword -> (type, content) of the first text chunk with this keyword. The type is tEXt, zTXt or
iTXt."""
_MAX_METADATA_BYTES: Final = 1 << 18
_MAX_KEYWORD_BYTES: Final = 80


def keyword_of(body: bytes) -> bytes:
    """Return the keyword of a text chunk; `body` is the content of the chunk."""
    return body[:_MAX_KEYWORD_BYTES].partition(b"\0")[0]


def png_orientation(exif: bytes, texts: Texts) -> int:
    """Return the orientation, 1 (upright) to 8, in EXIF or else in XMP metadata.

    Return 1 if neither has an orientation.

    Args:
        exif: content of the chunk eXIf; b"" if there is no such chunk.
        texts: the text chunks, which may hold EXIF or XMP metadata.
    """
    name, body = texts.get(b"XML:com.adobe.xmp", (b"", b""))
    xmp = _xmp(body) if name == b"iTXt" else b""
    return read_orientation(exif or _raw_exif(texts), xmp)


def _raw_exif(texts: Texts) -> bytes:
    """Return the EXIF metadata that ImageMagick stores in a text chunk; b"" if there is none.

    The text has three header lines; the other lines are the metadata as hexadecimal digits.
    """
    for keyword in (b"Raw profile type exif", b"Raw profile type APP1"):
        name, body = texts.get(keyword, (b"", b""))
        text = body[len(keyword) + 1 :]
        text = _decompress(text[1:]) if name == b"zTXt" else text[:_MAX_METADATA_BYTES]
        lines = text.split(b"\n", 3)
        if name in (b"zTXt", b"tEXt") and len(lines) == 4:
            with suppress(ValueError):
                return bytes.fromhex(lines[3].decode("ascii"))
    return b""


def _xmp(body: bytes) -> bytes:
    """Return the start of the text in an iTXt chunk, decompressed if necessary.

    Args:
        body: content of the chunk.
    """
    _, _, rest = body[: _MAX_METADATA_BYTES + _MAX_KEYWORD_BYTES].partition(b"\0")
    text = rest[2:].split(b"\0", 2)[-1]
    return _decompress(text) if rest[:1] == b"\1" else text


def _decompress(compressed: bytes) -> bytes:
    """Return the start of a compressed text; b"" if the data is damaged."""
    try:
        return zlib.decompressobj().decompress(compressed, _MAX_METADATA_BYTES)
    except zlib.error:
        return b""
