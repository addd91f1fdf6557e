"""Read PNG: parse and check the chunks, and decode the pixels with Pillow.

Pillow gets a copy of the file with only the chunks on which the pixels depend. So metadata may
have any size, and its checksums may be wrong.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from service.errors import DamagedImage
from service.imaging.readers.header import (
    BLENDING_NANOSECONDS_PER_PIXEL,
    ImageHeader,
    damaged_error,
    unsupported_error,
)
from service.imaging.readers.png_metadata import Texts, keyword_of, png_orientation

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS: Final = 10_000
"""A PNG may have this many chunks, plus one for every `_CHUNK_BYTES` bytes of the file."""
_CHUNK_BYTES: Final = 4096
"""Half the size of the chunks that libpng writes: a PNG of 100 MB has about 12,000 of them."""
_END: Final = b"\0\0\0\0IEND\xaeB`\x82"

# Tables whose keys are the colour types of PNG: gray, RGB, palette, gray + alpha, RGBA.
_MODES: Final = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_BIT_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_TRANSPARENT_COLOUR_BYTES: Final = {0: 2, 2: 6}
"""Bytes in the content of a tRNS chunk that contains one transparent colour, by colour type."""
_BYTES_PER_8_BIT_PIXEL: Final = {0: 1, 2: 4, 3: 1, 4: 4, 6: 4}
"""Memory per pixel for decoding pictures with up to 8 bits per sample, by colour type."""
_BYTES_PER_16_BIT_PIXEL: Final = {0: 7, 2: 17, 4: 17, 6: 21}
"""Memory per pixel for decoding pictures with 16 bits per sample, by colour type."""

_NANOSECONDS_PER: Final = {"pixel": 4.0, "byte of a row": 5.0, "byte": 6.0}
"""Estimated decoding times: per pixel, per byte of the decompressed rows (for Paeth, the slowest
filter), and per byte of the file."""


@dataclass
class _Contents:
    """The chunks of a PNG that Graft uses.

    `header`, `palette`, `transparency` and `pixels` are whole chunks, with length, type and
    checksum. `exif` and `texts` are only the contents of chunks.
    """

    header: bytes = b""
    palette: bytes = b""
    transparency: bytes = b""
    pixels: list[bytes] = field(default_factory=list)
    frames: int = 1
    exif: bytes = b""
    texts: Texts = field(default_factory=dict)

    def clean(self, colour: int) -> bytes:
        """Return a PNG file with only the chunks on which the pixels depend."""
        chunks = [SIGNATURE, self.header, self.palette if colour == 3 else b"", self.transparency]
        return b"".join([*chunks, *self.pixels, _END])


def read_header(data: bytes, _size: int) -> ImageHeader:
    """Read the header of a PNG.

    Raises:
        UnsupportedMediaType: the format is CgBI, Apple's variant of PNG.
        DamagedImage: the header, palette or pixels are missing or invalid; or a chunk on which the
            pixels depend has a wrong checksum; or there are too many chunks.
    """
    contents = _read_chunks(data)
    width, height, bits, colour = struct.unpack(">IIBB", contents.header[8:18])
    if not (width and height and bits in _BIT_DEPTHS.get(colour, ())):
        raise damaged_error("PNG", data, "the header is invalid")
    if colour == 3 and not 0 < len(contents.palette) - 12 <= 768:
        raise damaged_error("PNG", data, "the palette is missing or too long")
    contents.transparency = _transparency_chunk(contents.transparency, colour, bits)
    clean, pixels = contents.clean(colour), width * height
    is_transparent = bool(contents.transparency) or colour in (4, 6)
    row_bytes = pixels * _CHANNELS[colour] * max(bits, 8) // 8
    row_bytes *= 3 if bits == 16 and colour in (2, 6) else 1  # decoded twice and merged
    memory = pixels * (_BYTES_PER_16_BIT_PIXEL if bits == 16 else _BYTES_PER_8_BIT_PIXEL)[colour]
    if bits == 16 and contents.transparency:
        memory += 10 * pixels  # an alpha channel is added
    pixel_nanoseconds = _NANOSECONDS_PER["pixel"] + BLENDING_NANOSECONDS_PER_PIXEL * is_transparent
    nanoseconds = pixel_nanoseconds * pixels + _NANOSECONDS_PER["byte"] * len(clean)
    nanoseconds += _NANOSECONDS_PER["byte of a row"] * row_bytes
    return ImageHeader(
        format="PNG",
        width=width,
        height=height,
        mode="1" if bits == 1 and colour == 0 else _MODES[colour],
        bits=bits,
        frames=contents.frames,
        is_transparent=is_transparent,
        orientation=png_orientation(contents.exif, contents.texts),
        memory_bytes=len(clean) + memory,
        seconds=nanoseconds / 1e9,
        decode=lambda: _decode_16_bits(clean, colour) if bits == 16 else _decode(clean),
    )


def _read_chunks(data: bytes) -> _Contents:
    contents = _Contents()
    for name, chunk in _iter_chunks(data):
        body = chunk[8:-4]
        if name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT"):
            _verify_checksum(name, chunk, data)
        if name == b"IHDR":
            contents.header = contents.header or chunk
        elif name == b"IDAT":
            contents.pixels.append(chunk)
        elif name == b"PLTE" and not contents.pixels:
            contents.palette = contents.palette or chunk
        elif name == b"tRNS" and not contents.pixels:
            contents.transparency = contents.transparency or chunk
        elif name == b"CgBI":
            raise unsupported_error(
                "CgBI, Apple's variant of PNG",
                "convert it to a standard PNG, on a Mac with: "
                "xcrun pngcrush -revert-iphone-optimizations in.png out.png",
            )
        elif name == b"acTL":
            contents.frames = max(1, int.from_bytes(body[:4]))
        elif name == b"eXIf":
            contents.exif = body
        elif name in (b"iTXt", b"zTXt", b"tEXt"):
            contents.texts.setdefault(keyword_of(body), (name, body))
    if len(contents.header) != 25 or not contents.pixels:
        raise damaged_error("PNG", data, "the header or the pixels are missing")
    return contents


def _transparency_chunk(chunk: bytes, colour: int, bits: int) -> bytes:
    """Return the tRNS chunk as Pillow needs it; b"" if it is not valid for the colour type."""
    body = chunk[8:-4]
    fits = (
        0 < len(body) <= 256 if colour == 3 else _TRANSPARENT_COLOUR_BYTES.get(colour) == len(body)
    )
    if fits and colour == 0 and bits in (2, 4):  # Pillow expects an 8-bit gray
        gray = body[1] * 255 // (2**bits - 1) & 0xFF
        return _chunk(b"tRNS" + bytes([0, gray]))
    return chunk if fits else b""


def _chunk(content: bytes) -> bytes:
    """Make a chunk from `content`, its type and data: add the length and the checksum."""
    return (len(content) - 4).to_bytes(4) + content + zlib.crc32(content).to_bytes(4)


def _iter_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type of each chunk, and the whole chunk with length, type and checksum.

    Raises:
        DamagedImage: there are too many chunks.
    """
    position = len(SIGNATURE)
    max_chunks = _MAX_CHUNKS + len(data) // _CHUNK_BYTES
    for _ in range(max_chunks):
        if position >= len(data):
            return
        end = position + 12 + int.from_bytes(data[position : position + 4])
        name = data[position + 4 : position + 8]
        yield name, data[position:end]
        if name == b"IEND":
            return
        position = end
    raise DamagedImage(
        f"the PNG has more than {max_chunks:,} chunks; save it again in an image editor, or as JPEG"
    )


def _verify_checksum(name: bytes, chunk: bytes, data: bytes) -> None:
    is_complete = len(chunk) == 12 + int.from_bytes(chunk[:4])
    if not is_complete or zlib.crc32(memoryview(chunk)[4:-4]) != int.from_bytes(chunk[-4:]):
        raise damaged_error("PNG", data, f"the chunk {name.decode()} has a wrong checksum")


def _decode(clean: bytes) -> Image.Image:
    picture = PngImageFile(io.BytesIO(clean))
    picture.load()
    return picture


def _decode_16_bits(clean: bytes, colour: int) -> NDArray[np.uint16]:
    """Decode a PNG with 16-bit samples.

    For RGB and RGBA, Pillow keeps only the upper byte of each sample. So the picture is decoded a
    second time, with the wrong byte order: then Pillow keeps the lower bytes.

    Returns:
        (H, W) gray, (H, W, 2) gray with alpha, (H, W, 3) RGB or (H, W, 4) RGBA.
    """
    if colour == 0:
        stored = _decode(clean)
        gray: NDArray[np.uint16] = np.empty((stored.height, stored.width), np.uint16)
        gray[:] = np.asarray(stored)
        return _add_alpha(gray, clean)
    if colour == 4:  # gray + alpha has four bytes per pixel, so decode it as 8-bit RGBA
        header = b"IHDR" + clean[16:24] + b"\x08\x06" + clean[26:29]
        clean = clean[:8] + _chunk(header) + clean[33:]
        return np.ascontiguousarray(np.asarray(_decode(clean))).view(">u2").astype(np.uint16)
    upper = _decode(clean)
    pixels: NDArray[np.uint16] = np.asarray(upper).astype(np.uint16)
    pixels <<= 8
    del upper
    lower = PngImageFile(io.BytesIO(clean))
    lower.tile = [tile._replace(args=str(tile.args).replace("16B", "16L")) for tile in lower.tile]
    lower.load()
    pixels |= np.asarray(lower)
    return _add_alpha(pixels, clean)


def _add_alpha(pixels: NDArray[np.uint16], clean: bytes) -> NDArray[np.uint16]:
    """Add an alpha channel if the PNG has a tRNS chunk, which contains a transparent colour."""
    key = next((chunk[8:-4] for name, chunk in _iter_chunks(clean) if name == b"tRNS"), b"")
    if len(key) != 2 * (1 if pixels.ndim == 2 else pixels.shape[2]):
        return pixels
    colours = np.atleast_3d(pixels)
    is_transparent = (colours == np.frombuffer(key, ">u2")).all(2, keepdims=True)
    return np.concatenate([colours, np.where(is_transparent, 0, 0xFFFF).astype(np.uint16)], 2)
