"""Read AVIF, BMP, GIF and HEIC with Pillow; HEIC needs a plugin.

Pillow's reader for each format is called directly, because Image.open would try all formats.
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
"""Whether Graft's extra `heif` (the package pillow_heif) is installed."""

_MAX_BLOCKS: Final = 300_000
"""Limit on the number of data blocks of a GIF. A block has up to 255 bytes, so the limit allows a
GIF of 64 MiB."""
_RLE_COMPRESSIONS: Final = (1, 2)
"""Values of the BMP field `compression` that mean run-length encoding."""
# Estimated time and memory of decoding, by format.
_NANOSECONDS_PER_PIXEL: Final = {"AVIF": 28.0, "BMP": 8.0, "GIF": 12.0, "HEIC": 34.0}
_NANOSECONDS_PER_BYTE: Final = {"AVIF": 60.0, "BMP": 1.0, "GIF": 10.0, "HEIC": 40.0}
_BYTES_PER_PIXEL: Final = {"AVIF": 10.0, "BMP": 4.0, "GIF": 1.0, "HEIC": 10.0}
_RLE_NANOSECONDS_PER: Final = {"pixel": 130.0, "byte": 400.0}


def read_avif_header(data: bytes, _size: int) -> ImageHeader:
    """Read the header of an AVIF.

    Raises:
        UnsupportedMediaType: Pillow does not read this variant of AVIF.
        DamagedImage: the header is invalid.
    """
    return _header("AVIF", data, lambda: AvifImagePlugin.AvifImageFile(io.BytesIO(data)))


def read_bmp_header(data: bytes, _size: int) -> ImageHeader:
    """Read the header of a BMP.

    Raises:
        UnsupportedMediaType: Pillow does not read this variant of BMP.
        DamagedImage: the header is invalid.
    """
    is_run_length_encoded = len(data) > 34 and data[30] in _RLE_COMPRESSIONS
    header = _header("BMP", data, lambda: BmpImageFile(io.BytesIO(data)))
    if not is_run_length_encoded:
        return header
    # Pillow decodes run-length encoding in Python, and pixel by pixel if rows end early.
    nanoseconds = _RLE_NANOSECONDS_PER["pixel"] * header.pixels
    nanoseconds += _RLE_NANOSECONDS_PER["byte"] * len(data)
    return replace(header, seconds=nanoseconds / 1e9)


def read_gif_header(data: bytes, _size: int) -> ImageHeader:
    """Read the header of the first frame of a GIF.

    Raises:
        DamagedImage: the GIF is invalid, has too many blocks, or has no picture.
    """
    first, box, has_more = _first_frame(data)
    header = _header("GIF", data, lambda: GifImageFile(io.BytesIO(first)))
    header = replace(header, frames=1 + has_more)
    if box == (0, 0, header.width, header.height):
        return header

    def decode() -> Image.Image:
        """Decode the frame and paste it onto a white canvas."""
        picture = header.decode()
        assert isinstance(picture, Image.Image)
        canvas, frame = Image.new("RGB", picture.size, "white"), picture.crop(box).convert("RGBA")
        canvas.paste(frame, box, frame)
        return canvas

    memory_bytes = header.memory_bytes + 12 * header.pixels
    return replace(header, memory_bytes=memory_bytes, decode=decode)


def read_heic_header(data: bytes, _size: int) -> ImageHeader:
    """Read the header of a HEIC.

    Raises:
        UnsupportedMediaType: the package pillow_heif is not installed, or does not read this
            variant of HEIC.
        DamagedImage: the header is invalid.
    """
    if not HAS_HEIF:
        raise UnsupportedMediaType(
            "format not supported: HEIC needs the package pillow-heif, which is not installed "
            "here; install it (pip install pillow-heif), or convert the picture to a JPEG, e.g. "
            "with ImageMagick: magick in.heic out.jpg",
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
    except Exception as error:  # Pillow's readers raise many types of errors for damaged data
        if "nsupported" in str(error):
            raise unsupported_error(
                f"a variant of {name} that Pillow cannot read",
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
        memory_bytes=len(data) + int(_BYTES_PER_PIXEL[name] * width * height),
        seconds=(
            (_NANOSECONDS_PER_PIXEL[name] + BLENDING_NANOSECONDS_PER_PIXEL * is_transparent)
            * width
            * height
            + _NANOSECONDS_PER_BYTE[name] * len(data)
        )
        / 1e9,
        decode=decode,
    )


def _first_frame(data: bytes) -> tuple[bytes, tuple[int, int, int, int], bool]:
    """Extract the first frame of a GIF.

    Returns:
        A GIF with only this frame; the position of the frame as (left, top, right, bottom) in
        pixels; and whether more frames follow.

    Raises:
        DamagedImage: the GIF has too many blocks, no picture, or an incomplete frame header.
    """
    position = 13 + _palette_bytes(data[10:11])
    blocks, control, box, left = [data[:position]], b"", (0, 0, 0, 0), _MAX_BLOCKS
    while (marker := data[position : position + 1]) in (b",", b"!"):
        if marker == b"," and any(box):
            return b"".join([*blocks, b";"]), box, True
        start = 2
        if marker == b",":
            if len(data) < position + 9:
                raise damaged_error("GIF", data, "the header of the frame is cut short")
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
        raise damaged_error("GIF", data, "the picture is missing")
    return b"".join([*blocks, b";"]), box, False


def _palette_bytes(flags: bytes) -> int:
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _end_of_blocks(data: bytes, position: int, left: int) -> tuple[int, int]:
    """Skip a sequence of data blocks, which ends with an empty block.

    Args:
        data: the bytes of the file.
        position: offset of the first block.
        left: number of blocks that are still allowed.

    Returns:
        The offset after the empty block, and the number of blocks that are allowed after it.

    Raises:
        DamagedImage: there are more than `left` blocks.
    """
    while left:
        length, left = data[position] if position < len(data) else 0, left - 1
        position += 1 + length
        if not length:
            return min(position, len(data)), left
    raise DamagedImage(
        f"the GIF has more than {_MAX_BLOCKS:,} blocks; save it again in an image editor, or as PNG"
    )
