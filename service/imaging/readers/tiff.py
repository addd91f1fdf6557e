"""Read the first page of a TIFF: parse the tags, and decode with Pillow, or 16 bits with OpenCV.

The decoder gets a copy of the file with a new directory (list of tags), which has only the tags on
which the pixels depend. So the decoder reads neither other pages nor metadata.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from service.imaging.readers.header import (
    BLENDING_NANOSECONDS_PER_PIXEL,
    ImageHeader,
    StoredPixels,
    damaged_error,
    unsupported_error,
)
from service.imaging.readers.opencv import decode_with_opencv

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIPS = 256, 257, 258, 259, 262, 273
_ORIENTATION, _SAMPLES, _TILES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 274, 277, 324, 338, 339
_ROWS_PER_STRIP, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_BYTES = 278, 279, 322, 323, 325
_PIXEL_TAGS: Final = (
    *(254, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 266, _STRIPS, _SAMPLES, 278, 279),
    *(284, 292, 293, 317, 320, 322, 323, _TILES, 325, 332, _EXTRA_SAMPLES, _SAMPLE_FORMAT),
    *(347, 529, 530, 531, 532),
)
"""Tags on which the pixels depend."""
_TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_MAX_TAGS, _MAX_STRIPS = 4096, 100_000
_COMPRESSIONS: Final = (1, 2, 3, 4, 5, 7, 8, 32773, 32946)
"""Supported compressions: none, 3 variants of CCITT, LZW, JPEG, Deflate, PackBits, old Deflate."""

# Values of the tag PhotometricInterpretation, and tables whose keys they are.
_WHITE_IS_ZERO, _GRAY, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_MODES: Final = {
    _WHITE_IS_ZERO: "L",
    _GRAY: "L",
    _RGB: "RGB",
    _PALETTE: "P",
    _CMYK: "CMYK",
    _YCBCR: "RGB",
}
_CHANNELS: Final = {_WHITE_IS_ZERO: 1, _GRAY: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_BIT_DEPTHS: Final = {
    **dict.fromkeys((_WHITE_IS_ZERO, _GRAY), (1, 2, 4, 8, 16)),
    **{_RGB: (8, 16), _PALETTE: (1, 2, 4, 8), _CMYK: (8,), _YCBCR: (8,)},
}
_PLANAR_CONFIGURATION: Final = 284
_NO_ALPHA, _PREMULTIPLIED = 0, 1  # values of the tag ExtraSamples
_REMEDY: Final = (
    "convert it to an 8-bit TIFF, PNG or JPEG, e.g. with ImageMagick: "
    "magick in.tif -depth 8 out.png"
)
_DTYPES: Final = {"B": "u1", "H": "u2", "I": "u4"}
"""Code of `struct` -> NumPy dtype without byte order."""
_NO_VALUES: Final = np.zeros(0, np.int64)
_NANOSECONDS_PER: Final = {"pixel": 4.0, "byte of a row": 3.0, "byte": 10.0}
"""Estimated decoding times: per pixel, per byte of the decompressed rows, and per byte of the
file."""


@dataclass(frozen=True)
class _Page:
    """The first page of a TIFF, as its directory describes it.

    Attributes:
        order: byte order as in `struct`, `<` or `>`.
        entries: the entries of the directory on which the pixels depend, as bytes of the file.
        numbers: tag -> first value of the tag.
        arrays: tag -> all values of the tag; only for the bits per sample, and for the offsets and
            lengths of strips and tiles.
        has_more: whether another page follows.
    """

    order: str
    entries: tuple[bytes, ...]
    numbers: dict[int, int]
    arrays: dict[int, NDArray[np.int64]]
    has_more: bool

    def number(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag, or `default` if the page does not have the tag."""
        return self.numbers.get(tag, default)

    @property
    def block(self) -> tuple[int, int]:
        """Width and height of a tile or strip, in pixels. Each is always decoded completely."""
        if _TILES in self.numbers:
            return max(1, self.number(_TILE_WIDTH)), max(1, self.number(_TILE_HEIGHT))
        rows = self.number(_ROWS_PER_STRIP) or self.number(_HEIGHT)
        return self.number(_WIDTH), min(rows, self.number(_HEIGHT))

    @property
    def end(self) -> int:
        """Offset in the file at which the last strip or tile ends, according to the tags."""
        starts = self.arrays.get(_TILES, self.arrays.get(_STRIPS, _NO_VALUES))
        lengths = self.arrays.get(_TILE_BYTES, self.arrays.get(_STRIP_BYTES, _NO_VALUES))
        common = min(len(starts), len(lengths))
        return int((starts[:common] + lengths[:common]).max(initial=0))


def read_header(data: bytes, _size: int) -> ImageHeader:
    """Read the header of the first page of a TIFF.

    Raises:
        UnsupportedMediaType: Graft does not read BigTIFF, or these samples, colours or compression.
        DamagedImage: the directory or the pixels are missing or invalid.
    """
    page = _first_page(data)
    width, height = page.number(_WIDTH), page.number(_HEIGHT)
    bits, samples = page.number(_BITS, 1), page.number(_SAMPLES, 1)
    colours = page.number(_PHOTOMETRIC, _GRAY)
    _reject_unsupported(page, bits, samples, colours)
    if not (width and height and ({_STRIPS, _TILES} & page.numbers.keys())):
        raise damaged_error("TIFF", data, "the size or the pixels are missing")
    if page.end > len(data):
        raise damaged_error("TIFF", data, "the pixel data extends past the end of the file")
    clean, pixels = _with_clean_directory(data, page), width * height
    has_alpha = samples > _CHANNELS[colours] and page.number(_EXTRA_SAMPLES) != _NO_ALPHA
    block_width, block_height = page.block
    sample_bytes = samples * max(8, bits) // 8
    blocks = ceil(width / block_width) * ceil(height / block_height)
    decoded = blocks * block_width * block_height  # tiles at the edges are decoded completely, too
    memory = pixels * (2 * sample_bytes if bits == 16 else 4 if samples > 1 else 1)
    nanoseconds = (_NANOSECONDS_PER["pixel"] + BLENDING_NANOSECONDS_PER_PIXEL * has_alpha) * pixels
    nanoseconds += _NANOSECONDS_PER["byte of a row"] * decoded * sample_bytes
    nanoseconds += _NANOSECONDS_PER["byte"] * len(clean)

    def decode() -> StoredPixels:
        if bits < 16:
            return _decode_with_pillow(clean, (width, height))
        stored = decode_with_opencv(clean, (width, height))
        if samples == 4 and page.number(_EXTRA_SAMPLES) == _NO_ALPHA:
            return stored[..., :3]
        return _inverted(stored) if colours == _WHITE_IS_ZERO else stored

    mode = "1" if bits == 1 and samples == 1 else _MODES[colours]
    return ImageHeader(
        format="TIFF",
        width=width,
        height=height,
        mode=mode + "A" * (has_alpha and mode in ("L", "RGB")),
        bits=bits,
        frames=1 + page.has_more,
        is_transparent=has_alpha,
        orientation=page.number(_ORIENTATION, 1) if 1 <= page.number(_ORIENTATION, 1) <= 8 else 1,
        memory_bytes=len(clean) + memory + block_width * block_height * sample_bytes,
        seconds=nanoseconds / 1e9,
        decode=decode,
    )


def _first_page(data: bytes) -> _Page:
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] in (b"+\0", b"\0+"):
        raise unsupported_error("BigTIFF", _REMEDY)
    start, count = _unpack(order, "I", data, 4), 0
    if start:
        count = _unpack(order, "H", data, start)
    if not 0 < count <= _MAX_TAGS or start + 2 + 12 * count > len(data):
        raise damaged_error(
            "TIFF", data, "the directory is missing or lies past the end of the file"
        )
    entries, numbers, arrays = [], {}, {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        entry = data[at : at + 12]
        tag, type_, values = struct.unpack(order + "HHI", entry[:8])
        if tag not in (*_PIXEL_TAGS, _ORIENTATION) or tag in numbers:
            continue
        size = values * _TYPE_BYTES.get(type_, 1)
        if size > len(data) or (tag in (_STRIPS, _TILES) and values > _MAX_STRIPS):
            raise damaged_error("TIFF", data, "a tag claims more values than the file can hold")
        place = at + 8 if size <= 4 else struct.unpack(order + "I", entry[8:])[0]
        code = {1: "B", 3: "H", 4: "I"}.get(type_)
        numbers[tag] = _unpack(order, code, data, place) if code and values else 0
        if code and tag in (_BITS, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES):
            stored = data[place : place + size]
            arrays[tag] = np.frombuffer(stored, order + _DTYPES[code]).astype(np.int64)
        if tag != _ORIENTATION:
            entries.append(entry)
    following = data[start + 2 + 12 * count :][:4]
    return _Page(order, tuple(entries), numbers, arrays, any(following))


def _unpack(order: str, code: str, data: bytes, at: int) -> int:
    try:
        number: int = struct.unpack_from(order + code, data, at)[0]
    except struct.error:
        raise damaged_error("TIFF", data, "a tag points past the end of the file") from None
    return number


def _reject_unsupported(page: _Page, bits: int, samples: int, colours: int) -> None:
    name = ""
    if page.number(_COMPRESSION, 1) not in _COMPRESSIONS:
        name = f"TIFF with compression {page.number(_COMPRESSION)}"
    elif page.number(_SAMPLE_FORMAT, 1) not in (1, 4):
        name = "TIFF with signed or floating-point samples"
    elif colours in (32803, 34892):
        name = "raw camera picture (DNG)"
    elif colours not in _MODES:
        name = f"TIFF with colour space {colours}"
    elif bits not in _BIT_DEPTHS[colours] or (page.arrays.get(_BITS, _NO_VALUES) != bits).any():
        name = f"TIFF with {bits} bits per sample"
    elif samples - _CHANNELS[colours] not in (0, 1) or (bits == 16 and samples == 2):
        name = f"TIFF with {samples} channels"
    elif bits == 16 and samples > 1 and page.number(_PLANAR_CONFIGURATION, 1) != 1:
        name = "16-bit TIFF with separate planes"
    elif bits == 16 and samples == 4 and page.number(_EXTRA_SAMPLES) == _PREMULTIPLIED:
        name = "16-bit TIFF with premultiplied alpha"
    if name:
        raise unsupported_error(name, _REMEDY)


def _with_clean_directory(data: bytes, page: _Page) -> bytes:
    """Return a copy of the file that ends with a new directory.

    The new directory has only the tags on which the pixels depend.
    """
    count = struct.pack(page.order + "H", len(page.entries))
    place = len(data) + len(data) % 2
    directory = count + b"".join(page.entries) + bytes(4)
    return (
        data[:4]
        + struct.pack(page.order + "I", place)
        + data[8:].ljust(place - 8, b"\0")
        + directory
    )


def _decode_with_pillow(clean: bytes, size: tuple[int, int]) -> Image.Image:
    picture = TiffImageFile(io.BytesIO(clean))
    if picture.size != size:
        raise ValueError(f"Pillow reads the size {picture.size}, not {size}")
    picture.load()
    return picture


def _inverted(stored: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint16]:
    return np.asarray(0xFFFF - stored, np.uint16)
