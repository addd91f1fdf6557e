"""AVIF, BMP, GIF and HEIC: kinds that Pillow, or its plugin for HEIC, reads whole.

Pillow's readers are called directly: Image.open would try every format that Pillow knows.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from typing import Final

from PIL import AvifImagePlugin, Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile

from service.errors import DamagedImage, UnsupportedMediaType
from service.imaging.header import TRANSPARENT_NANOSECONDS, Header, damaged, orientation_of

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # pictures are decoded side by side

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
    "BMP of runs": 400.0,
    "GIF": 10.0,
    "HEIC": 40.0,
}
_BYTES: Final = {"AVIF": 10.0, "BMP": 4.0, "GIF": 1.0, "HEIC": 10.0}


def read_avif_header(data: bytes, _size: int) -> Header:
    """Read the boxes of an AVIF; raises UndecodableImage where they make no sense."""
    return _header("AVIF", data, lambda: AvifImagePlugin.AvifImageFile(io.BytesIO(data)))


def read_bmp_header(data: bytes, _size: int) -> Header:
    """Read the header of a BMP; raises UndecodableImage where it makes no sense.

    Runs (RLE) are read by Python code of Pillow's.
    """
    has_runs = len(data) > 34 and data[30] in _COMPRESSED_BMP
    byte_nanoseconds = _BYTE_NANOSECONDS["BMP of runs" if has_runs else "BMP"]
    return _header("BMP", data, lambda: BmpImageFile(io.BytesIO(data)), byte_nanoseconds)


def read_gif_header(data: bytes, _size: int) -> Header:
    """Read the blocks of a GIF; raises UndecodableImage where there are too many, or no picture."""
    first, has_more = _first_frame(data)
    return _header("GIF", data, lambda: GifImageFile(io.BytesIO(first)), frames=1 + has_more)


def read_heic_header(data: bytes, _size: int) -> Header:
    """Read the boxes of a HEIC.

    Raises:
        UnsupportedMediaType: the extra `heif` is not installed.
        UndecodableImage: they make no sense.
    """
    if not HAS_HEIF:
        raise UnsupportedMediaType(
            "kind not supported here: HEIC needs the extra `heif` (pip install 'graft[heif]'); "
            "or convert it to a JPEG, e.g. by ImageMagick: magick in.heic out.jpg",
            "HEIC",
            "install the extra `heif`",
        )
    from pillow_heif import HeifImageFile

    return _header("HEIC", data, lambda: HeifImageFile(io.BytesIO(data)))  # type: ignore[no-untyped-call]


def _header(
    kind: str,
    data: bytes,
    open_: Callable[[], Image.Image],
    byte_nanoseconds: float = 0.0,
    frames: int = 1,
) -> Header:
    try:
        picture = open_()
    except Exception as error:  # Pillow's readers raise a dozen types on damaged bytes
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
        frames=frames,
        is_transparent=is_transparent,
        orientation=orientation_of(exif, xmp),
        memory_bytes=len(data) + int(_BYTES[kind] * width * height),
        seconds=(
            (_NANOSECONDS[kind] + TRANSPARENT_NANOSECONDS * is_transparent) * width * height
            + (byte_nanoseconds or _BYTE_NANOSECONDS[kind]) * len(data)
        )
        / 1e9,
        read=read,
    )


def _first_frame(data: bytes) -> tuple[bytes, bool]:
    """A GIF of the first frame alone, without comments, and whether there are more."""
    start = 13 + _palette_bytes(data[10:11])
    parts, position, control = [data[:start]], start, b""
    frames = 0
    for _ in range(_MAX_BLOCKS):
        kind = data[position : position + 1]
        if kind == b",":
            frames += 1
            if frames > 1:
                break
            pixels = position + 10 + _palette_bytes(data[position + 9 : position + 10])
            end = _end_of_blocks(data, pixels + 1)
            parts += [control, data[position:end]]
        elif kind == b"!":
            end = _end_of_blocks(data, position + 2)
            if data[position + 1 : position + 2] == b"\xf9":
                control = data[position:end]
        else:
            break
        position = end
    if not frames:
        raise damaged("GIF", data, "it has no picture")
    return b"".join([*parts, b";"]), frames > 1


def _palette_bytes(flags: bytes) -> int:
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _end_of_blocks(data: bytes, position: int) -> int:
    """Behind the empty block that ends a run of blocks, or the end of the data."""
    for _ in range(_MAX_BLOCKS):
        length = data[position] if position < len(data) else 0
        position += 1 + length
        if not length:
            return min(position, len(data))
    raise DamagedImage(f"the GIF has more than {_MAX_BLOCKS:,} blocks")
