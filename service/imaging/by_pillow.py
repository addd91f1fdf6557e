"""AVIF, BMP, GIF and HEIC: kinds that Pillow, or its plugin for HEIC, reads whole.

Pillow's readers are called directly: Image.open would try every format that Pillow knows.
"""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from PIL import AvifImagePlugin, Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile

from service.errors import DamagedImage, UnsupportedMediaType
from service.imaging.header import (
    TRANSPARENT_NANOSECONDS,
    Header,
    damaged,
    orientation_of,
    unsupported,
)

HAS_HEIF: Final = importlib.util.find_spec("pillow_heif") is not None
"""Whether the extra `heif` is installed."""

_MAX_BLOCKS: Final = 300_000
"""Most blocks of a GIF, of up to 255 bytes each: 64 MiB of them."""
_COMPRESSED_BMP: Final = (1, 2)
# Per pixel, unless it says otherwise.
_NANOSECONDS: Final = {"AVIF": 28.0, "BMP": 8.0, "GIF": 12.0, "HEIC": 34.0}
_BYTE_NANOSECONDS: Final = {
    "AVIF": 60.0,
    "BMP": 1.0,
    "GIF": 10.0,
    "HEIC": 40.0,
}
_RUN_NANOSECONDS: Final = {"pixel": 130.0, "byte": 400.0}
_BYTES: Final = {"AVIF": 10.0, "BMP": 4.0, "GIF": 1.0, "HEIC": 10.0}


def read_avif_header(data: bytes, _size: int) -> Header:
    """Read the boxes of an AVIF; raises UndecodableImage where they make no sense."""
    return _header("AVIF", data, lambda: AvifImagePlugin.AvifImageFile(io.BytesIO(data)))


def read_bmp_header(data: bytes, _size: int) -> Header:
    """Read the header of a BMP; raises DamagedImage where it makes no sense."""
    has_runs = len(data) > 34 and data[30] in _COMPRESSED_BMP
    header = _header("BMP", data, lambda: BmpImageFile(io.BytesIO(data)))
    if not has_runs:
        return header
    # Python code of Pillow's reads them, pixel by pixel where lines end early.
    nanoseconds = _RUN_NANOSECONDS["pixel"] * header.pixels + _RUN_NANOSECONDS["byte"] * len(data)
    return replace(header, seconds=nanoseconds / 1e9)


def read_gif_header(data: bytes, _size: int) -> Header:
    """Read the blocks of a GIF; raises DamagedImage where there are too many, or no picture."""
    first, box, has_more = _first_frame(data)
    header = _header("GIF", data, lambda: GifImageFile(io.BytesIO(first)))
    header = replace(header, frames=1 + has_more)
    if box == (0, 0, header.width, header.height):
        return header

    def read() -> Image.Image:
        """Where the frame ends, the screen shows what is behind it."""
        picture = header.read()
        assert isinstance(picture, Image.Image)
        screen, frame = Image.new("RGB", picture.size, "white"), picture.crop(box).convert("RGBA")
        screen.paste(frame, box, frame)
        return screen

    memory_bytes = header.memory_bytes + 12 * header.pixels
    return replace(header, memory_bytes=memory_bytes, read=read)


def read_heic_header(data: bytes, _size: int) -> Header:
    """Read the boxes of a HEIC.

    Raises:
        UnsupportedMediaType: the extra `heif` is not installed.
        UndecodableImage: they make no sense.
    """
    if not HAS_HEIF:
        raise UnsupportedMediaType(
            "kind not supported here: HEIC needs the extra `heif` (pip install pillow-heif); or "
            "convert it to a JPEG, e.g. by ImageMagick: magick in.heic out.jpg",
            "HEIC",
            "pip install pillow-heif",
        )
    from pillow_heif import HeifImageFile

    return _header("HEIC", data, lambda: HeifImageFile(io.BytesIO(data)))  # type: ignore[no-untyped-call]


def _header(
    kind: str,
    data: bytes,
    open_: Callable[[], Image.Image],
) -> Header:
    try:
        picture = open_()
    except Exception as error:  # Pillow's readers raise a dozen types on damaged bytes
        if "nsupported" in str(error):
            raise unsupported(
                f"{kind} of a variant that is not read here",
                f"convert it to a PNG, e.g. by ImageMagick: magick in.{kind.lower()} out.png",
            ) from error
        raise damaged(kind, data) from error
    (width, height), is_transparent = picture.size, picture.has_transparency_data

    def read() -> Image.Image:
        picture.load()
        return picture

    exif, xmp = (picture.info.get(key) or b"" for key in ("exif", "xmp"))
    return Header(
        kind=kind,
        width=width,
        height=height,
        mode=picture.mode,
        is_transparent=is_transparent,
        orientation=orientation_of(exif, xmp),
        memory_bytes=len(data) + int(_BYTES[kind] * width * height),
        seconds=(
            (_NANOSECONDS[kind] + TRANSPARENT_NANOSECONDS * is_transparent) * width * height
            + _BYTE_NANOSECONDS[kind] * len(data)
        )
        / 1e9,
        read=read,
    )


def _first_frame(data: bytes) -> tuple[bytes, tuple[int, int, int, int], bool]:
    """A GIF of the first frame alone, without comments; its box; and whether there are more."""
    position = 13 + _palette_bytes(data[10:11])
    parts, control, box, left = [data[:position]], b"", (0, 0, 0, 0), _MAX_BLOCKS
    while (kind := data[position : position + 1]) in (b",", b"!"):
        if kind == b"," and any(box):
            return b"".join([*parts, b";"]), box, True
        start = 2
        if kind == b",":
            across, down, width, height = struct.unpack("<4H", data[position + 1 : position + 9])
            box = (across, down, across + width, down + height)
            start = 11 + _palette_bytes(data[position + 9 : position + 10])
        end, left = _end_of_blocks(data, position + start, left)
        if kind == b",":
            parts += [control, data[position:end]]
        elif data[position + 1 : position + 2] == b"\xf9":
            control = data[position:end]
        position = end
    if not any(box):
        raise damaged("GIF", data, "it has no picture")
    return b"".join([*parts, b";"]), box, False


def _palette_bytes(flags: bytes) -> int:
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _end_of_blocks(data: bytes, position: int, left: int) -> tuple[int, int]:
    """Behind the empty block that ends a run of blocks, or the end of the data; blocks left."""
    while left:
        length, left = data[position] if position < len(data) else 0, left - 1
        position += 1 + length
        if not length:
            return min(position, len(data)), left
    raise DamagedImage(f"the GIF has more than {_MAX_BLOCKS:,} blocks")
