"""AVIF, BMP, GIF and HEIC: formats whose headers and pixels Pillow reads (HEIC with a plugin).

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
from service.imaging.readers.header import (
    BLENDING_NANOSECONDS_PER_PIXEL,
    ImageHeader,
    damaged_error,
    unsupported_error,
)
from service.imaging.readers.orientation import read_orientation

HAS_HEIF: Final = importlib.util.find_spec("pillow_heif") is not None
"""Whether the extra `heif` is installed."""

_MAX_BLOCKS: Final = 300_000
"""Most blocks of a GIF; with up to 255 bytes each, 64 MiB."""
_COMPRESSED_BMP: Final = (1, 2)
# Per pixel, unless the name says otherwise.
_NANOSECONDS: Final = {"AVIF": 28.0, "BMP": 8.0, "GIF": 12.0, "HEIC": 34.0}
_BYTE_NANOSECONDS: Final = {
    "AVIF": 60.0,
    "BMP": 1.0,
    "GIF": 10.0,
    "HEIC": 40.0,
}
_RUN_NANOSECONDS: Final = {"pixel": 130.0, "byte": 400.0}
_BYTES: Final = {"AVIF": 10.0, "BMP": 4.0, "GIF": 1.0, "HEIC": 10.0}


def read_avif_header(data: bytes, _size: int) -> ImageHeader:
    """Read the boxes of an AVIF; raises UndecodableImage if they are invalid."""
    return _header("AVIF", data, lambda: AvifImagePlugin.AvifImageFile(io.BytesIO(data)))


def read_bmp_header(data: bytes, _size: int) -> ImageHeader:
    """Read the header of a BMP; raises DamagedImage if it is invalid."""
    has_runs = len(data) > 34 and data[30] in _COMPRESSED_BMP
    header = _header("BMP", data, lambda: BmpImageFile(io.BytesIO(data)))
    if not has_runs:
        return header
    # Pillow decodes runs in Python, pixel by pixel if rows end early.
    nanoseconds = _RUN_NANOSECONDS["pixel"] * header.pixels + _RUN_NANOSECONDS["byte"] * len(data)
    return replace(header, seconds=nanoseconds / 1e9)


def read_gif_header(data: bytes, _size: int) -> ImageHeader:
    """Read the blocks of a GIF; raises DamagedImage if there are too many, or no picture."""
    first, box, has_more = _first_frame(data)
    header = _header("GIF", data, lambda: GifImageFile(io.BytesIO(first)))
    header = replace(header, frames=1 + has_more)
    if box == (0, 0, header.width, header.height):
        return header

    def decode() -> Image.Image:
        """Place the frame on a white screen."""
        picture = header.decode()
        assert isinstance(picture, Image.Image)
        screen, frame = Image.new("RGB", picture.size, "white"), picture.crop(box).convert("RGBA")
        screen.paste(frame, box, frame)
        return screen

    memory_bytes = header.memory_bytes + 12 * header.pixels
    return replace(header, memory_bytes=memory_bytes, decode=decode)


def read_heic_header(data: bytes, _size: int) -> ImageHeader:
    """Read the boxes of a HEIC.

    Raises:
        UnsupportedMediaType: the extra `heif` is not installed.
        UndecodableImage: the boxes are invalid.
    """
    if not HAS_HEIF:
        raise UnsupportedMediaType(
            "format not supported here: HEIC needs the extra `heif` (pip install pillow-heif); or "
            "convert it to a JPEG, e.g. with ImageMagick: magick in.heic out.jpg",
            "HEIC",
            "pip install pillow-heif",
        )
    from pillow_heif import HeifImageFile

    return _header("HEIC", data, lambda: HeifImageFile(io.BytesIO(data)))  # type: ignore[no-untyped-call]


def _header(
    name: str,
    data: bytes,
    open_: Callable[[], Image.Image],
) -> ImageHeader:
    try:
        picture = open_()
    except Exception as error:  # Pillow's readers raise many types on damaged bytes
        if "nsupported" in str(error):
            raise unsupported_error(
                f"{name} of a variant that is not read here",
                f"convert it to a PNG, e.g. with ImageMagick: magick in.{name.lower()} out.png",
            ) from error
        raise damaged_error(name, data) from error
    (width, height), is_transparent = picture.size, picture.has_transparency_data

    def decode() -> Image.Image:
        picture.load()
        return picture

    exif, xmp = (picture.info.get(key) or b"" for key in ("exif", "xmp"))
    return ImageHeader(
        format=name,
        width=width,
        height=height,
        mode=picture.mode,
        is_transparent=is_transparent,
        orientation=read_orientation(exif, xmp),
        memory_bytes=len(data) + int(_BYTES[name] * width * height),
        seconds=(
            (_NANOSECONDS[name] + BLENDING_NANOSECONDS_PER_PIXEL * is_transparent) * width * height
            + _BYTE_NANOSECONDS[name] * len(data)
        )
        / 1e9,
        decode=decode,
    )


def _first_frame(data: bytes) -> tuple[bytes, tuple[int, int, int, int], bool]:
    """Return a GIF of only the first frame, its box, and whether there are more frames."""
    position = 13 + _palette_bytes(data[10:11])
    blocks, control, box, left = [data[:position]], b"", (0, 0, 0, 0), _MAX_BLOCKS
    while (marker := data[position : position + 1]) in (b",", b"!"):
        if marker == b"," and any(box):
            return b"".join([*blocks, b";"]), box, True
        start = 2
        if marker == b",":
            x, y, width, height = struct.unpack("<4H", data[position + 1 : position + 9])
            box = (x, y, x + width, y + height)
            start = 11 + _palette_bytes(data[position + 9 : position + 10])
        end, left = _end_of_blocks(data, position + start, left)
        if marker == b",":
            blocks += [control, data[position:end]]
        elif data[position + 1 : position + 2] == b"\xf9":
            control = data[position:end]
        position = end
    if not any(box):
        raise damaged_error("GIF", data, "it has no picture")
    return b"".join([*blocks, b";"]), box, False


def _palette_bytes(flags: bytes) -> int:
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _end_of_blocks(data: bytes, position: int, left: int) -> tuple[int, int]:
    """Return the offset after the empty block that ends a run of blocks, and the blocks left."""
    while left:
        length, left = data[position] if position < len(data) else 0, left - 1
        position += 1 + length
        if not length:
            return min(position, len(data)), left
    raise DamagedImage(f"the GIF has more than {_MAX_BLOCKS:,} blocks")
