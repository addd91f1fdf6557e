"""PNG: its chunks with their checksums, and its pixels by Pillow.

The decoders get a copy with the chunks that pixels depend on. Metadata of any size, or with a wrong
checksum, is none of their business.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from service.errors import DamagedImage
from service.imaging.header import (
    TRANSPARENT_NANOSECONDS,
    Header,
    damaged,
    orientation_of,
    unsupported,
)

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS: Final = 10_000
"""Most chunks besides those of `_CHUNK_BYTES`."""
_CHUNK_BYTES: Final = 4096
"""Half of what libpng puts into a chunk: a sound PNG of 100 MB may have 12,000 of them."""
_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
_MODES: Final = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CLEAR_COLOUR_BYTES: Final = {0: 2, 2: 6}
"""Colour type -> length of a chunk tRNS that names one clear colour."""
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_STORED_BYTES: Final = {0: 1, 2: 4, 3: 1, 4: 4, 6: 4}
_DEEP_BYTES: Final = {0: 7, 2: 17, 4: 17, 6: 21}
"""Colour type -> bytes that a pixel of at most 8, and of 16 bits per sample takes meanwhile."""
_MAX_METADATA, _MAX_KEYWORD = 1 << 18, 80
"""Bytes of a text, and of its keyword, that are searched for an orientation."""
_NANOSECONDS: Final = {"pixel": 4.0, "byte of a row": 5.0, "byte": 6.0}
"""Rows of the dearest filter, Paeth's."""


@dataclass
class _Parts:
    """What a PNG holds: chunks whole, from their length to their checksum."""

    header: bytes = b""
    palette: bytes = b""
    clear: bytes = b""
    pixels: list[bytes] = field(default_factory=list)
    frames: int = 1
    exif: bytes = b""
    texts: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    """Keyword -> name and content of the first chunk of it."""

    @property
    def orientation(self) -> int:
        kind, body = self.texts.get(b"XML:com.adobe.xmp", (b"", b""))
        xmp = _xmp(body) if kind == b"iTXt" else b""
        return orientation_of(self.exif or self._raw_exif(), xmp)

    def _raw_exif(self) -> bytes:
        """EXIF as ImageMagick writes it: three lines of heading, then hexadecimal digits."""
        for keyword in (b"Raw profile type exif", b"Raw profile type APP1"):
            kind, body = self.texts.get(keyword, (b"", b""))
            text = body[len(keyword) + 1 :]
            text = _inflated(text[1:]) if kind == b"zTXt" else text[:_MAX_METADATA]
            lines = text.split(b"\n", 3)
            if kind in (b"zTXt", b"tEXt") and len(lines) == 4:
                with suppress(ValueError):
                    return bytes.fromhex(lines[3].decode("ascii"))
        return b""

    def clean(self, colour: int) -> bytes:
        """A PNG of what pixels depend on."""
        parts = [SIGNATURE, self.header, self.palette if colour == 3 else b"", self.clear]
        return b"".join([*parts, *self.pixels, _END])


def read_header(data: bytes, _size: int) -> Header:
    """Read the chunks of a PNG.

    Raises:
        UnsupportedMediaType: Apple's variant CgBI.
        DamagedImage: no header, a wrong checksum of what pixels depend on, or more chunks than any
            program writes.
    """
    parts = _parts(data)
    width, height, bits, colour = struct.unpack(">IIBB", parts.header[8:18])
    if not (width and height and bits in _DEPTHS.get(colour, ())):
        raise damaged("PNG", data, "its header makes no sense")
    if colour == 3 and not 0 < len(parts.palette) - 12 <= 768:
        raise damaged("PNG", data, "it has no palette")
    parts.clear = _clear_chunk(parts.clear, colour, bits)
    clean, pixels = parts.clean(colour), width * height
    is_transparent = bool(parts.clear) or colour in (4, 6)
    row_bytes = pixels * _CHANNELS[colour] * max(bits, 8) // 8
    row_bytes *= 3 if bits == 16 and colour in (2, 6) else 1  # decoded twice, and put together
    memory = pixels * (_DEEP_BYTES if bits == 16 else _STORED_BYTES)[colour]
    memory += pixels * 10 * (bits == 16 and bool(parts.clear))  # a channel is added
    nanoseconds = (_NANOSECONDS["pixel"] + TRANSPARENT_NANOSECONDS * is_transparent) * pixels
    nanoseconds += _NANOSECONDS["byte of a row"] * row_bytes + _NANOSECONDS["byte"] * len(clean)
    return Header(
        kind="PNG",
        width=width,
        height=height,
        mode="1" if bits == 1 and colour == 0 else _MODES[colour],
        bits=bits,
        frames=parts.frames,
        is_transparent=is_transparent,
        orientation=parts.orientation,
        memory_bytes=len(clean) + memory,
        seconds=nanoseconds / 1e9,
        read=lambda: _read_deep(clean, colour) if bits == 16 else _read(clean),
    )


def _parts(data: bytes) -> _Parts:
    parts = _Parts()
    for name, chunk in _chunks(data):
        body = chunk[8:-4]
        if name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT"):
            _check(name, chunk, data)
        if name == b"IHDR":
            parts.header = parts.header or chunk
        elif name == b"IDAT":
            parts.pixels.append(chunk)
        elif name == b"PLTE" and not parts.pixels:
            parts.palette = parts.palette or chunk
        elif name == b"tRNS" and not parts.pixels:
            parts.clear = parts.clear or chunk
        elif name == b"CgBI":
            raise unsupported(
                "CgBI, Apple's variant of PNG",
                "convert it to a PNG, on a Mac by: "
                "xcrun pngcrush -revert-iphone-optimizations in.png out.png",
            )
        elif name == b"acTL":
            parts.frames = max(1, int.from_bytes(body[:4]))
        elif name == b"eXIf":
            parts.exif = body
        elif name in (b"iTXt", b"zTXt", b"tEXt"):
            parts.texts.setdefault(body[:_MAX_KEYWORD].partition(b"\0")[0], (name, body))
    if len(parts.header) != 25 or not parts.pixels:
        raise damaged("PNG", data, "it has no header or no pixels")
    return parts


def _clear_chunk(chunk: bytes, colour: int, bits: int) -> bytes:
    """A chunk tRNS as Pillow wants it; nothing for one that pictures of this type may not have."""
    body = chunk[8:-4]
    fits = 0 < len(body) <= 256 if colour == 3 else _CLEAR_COLOUR_BYTES.get(colour) == len(body)
    if fits and colour == 0 and bits in (2, 4):  # Pillow compares it with gray of 8 bits
        gray = body[1] * 255 // (2**bits - 1) & 0xFF
        return _chunk(b"tRNS" + bytes([0, gray]))
    return chunk if fits else b""


def _chunk(content: bytes) -> bytes:
    return (len(content) - 4).to_bytes(4) + content + zlib.crc32(content).to_bytes(4)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every chunk up to the end: its name, and all of it, from its length to its checksum."""
    position = len(SIGNATURE)
    most = _MAX_CHUNKS + len(data) // _CHUNK_BYTES
    for _ in range(most):
        if position >= len(data):
            return
        end = position + 12 + int.from_bytes(data[position : position + 4])
        name = data[position + 4 : position + 8]
        yield name, data[position:end]
        if name == b"IEND":
            return
        position = end
    raise DamagedImage(f"the PNG has more than {most:,} chunks")


def _check(name: bytes, chunk: bytes, data: bytes) -> None:
    is_whole = len(chunk) == 12 + int.from_bytes(chunk[:4])
    if not is_whole or zlib.crc32(memoryview(chunk)[4:-4]) != int.from_bytes(chunk[-4:]):
        raise damaged("PNG", data, f"the checksum of its {name.decode()} differs")


def _xmp(body: bytes) -> bytes:
    _, _, rest = body[: _MAX_METADATA + _MAX_KEYWORD].partition(b"\0")
    text = rest[2:].split(b"\0", 2)[-1]
    return _inflated(text) if rest[:1] == b"\1" else text


def _inflated(compressed: bytes) -> bytes:
    """The beginning of a text; nothing where it is damaged."""
    try:
        return zlib.decompressobj().decompress(compressed, _MAX_METADATA)
    except zlib.error:
        return b""


def _read(clean: bytes) -> Image.Image:
    picture = PngImageFile(io.BytesIO(clean))
    picture.load()
    return picture


def _read_deep(clean: bytes, colour: int) -> NDArray[np.uint16]:
    """Samples of 16 bits: (H, W), or (H, W, 2 to 4) with gray + alpha, RGB, RGBA.

    Pillow keeps the upper bytes of more than one channel. Asked for the other byte order, it takes
    the lower ones for them.
    """
    if colour == 0:
        stored = _read(clean)
        gray: NDArray[np.uint16] = np.empty((stored.height, stored.width), np.uint16)
        gray[:] = np.asarray(stored)
        return _with_alpha(gray, clean)
    if colour == 4:  # four bytes for each pixel, as in RGBA of 8 bits
        header = b"IHDR" + clean[16:24] + b"\x08\x06" + clean[26:29]
        clean = clean[:8] + _chunk(header) + clean[33:]
        return np.ascontiguousarray(np.asarray(_read(clean))).view(">u2").astype(np.uint16)
    upper = _read(clean)
    pixels: NDArray[np.uint16] = np.asarray(upper).astype(np.uint16)
    pixels <<= 8
    del upper
    lower = PngImageFile(io.BytesIO(clean))
    lower.tile = [tile._replace(args=str(tile.args).replace("16B", "16L")) for tile in lower.tile]
    lower.load()
    pixels |= np.asarray(lower)
    return _with_alpha(pixels, clean)


def _with_alpha(pixels: NDArray[np.uint16], clean: bytes) -> NDArray[np.uint16]:
    """With a channel of alpha, where a chunk names one colour that is clear."""
    key = next((chunk[8:-4] for name, chunk in _chunks(clean) if name == b"tRNS"), b"")
    if len(key) != 2 * (1 if pixels.ndim == 2 else pixels.shape[2]):
        return pixels
    colours = np.atleast_3d(pixels)
    is_clear = (colours == np.frombuffer(key, ">u2")).all(2, keepdims=True)
    return np.concatenate([colours, np.where(is_clear, 0, 0xFFFF).astype(np.uint16)], 2)
