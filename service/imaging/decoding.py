"""Decode the bytes of a picture to RGB uint8 at the model's input size, within limits.

The rules; tests/service/imaging/test_decoding.py has a picture for each:

- The format is identified by the content, never by a name or a content type.
- EXIF's or XMP's orientation is applied. Of several frames or pages the first is used.
- Gray becomes R=G=B, CMYK is converted, palettes are looked up. Of 16-bit samples the upper 8 of
  the significant bits are used; their number is that of the training pictures.
- Transparent pixels are blended with white, as on a web page.
- The picture is stretched to a square by an antialiased bilinear filter; nothing is cropped.
- A large JPEG is decoded at the smallest of libjpeg's reduced sizes that is not below the input
  size. Other large pictures are averaged in blocks first.
- Pictures that the decoder finds damaged are refused, even if it could go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Final

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from service.errors import RequestError, UnsupportedMediaType
from service.imaging.formats import FORMATS, ImageFormat, identify_format
from service.imaging.limits import DECODING_MEMORY, Limits
from service.imaging.readers.header import ImageHeader, StoredPixels, damaged_error
from service.imaging.resizing import resize_to_square, working_bytes

DECODER: Final = (
    f"graft-3 pillow-{PIL.__version__} opencv-{cv2.__version__} "
    f"simplejpeg-{metadata.version('simplejpeg')}"
)
"""Recorded with every model, because other versions may decode other pixels."""

_OUTLIERS: Final = 1e-3
"""Largest share of samples above the significant bits, such as hot pixels of a sensor."""

FULL_RANGE_BITS: Final = 16
"""Significant bits of 16-bit samples, unless the training pictures had fewer."""

_ALL_FORMATS: Final = tuple(image_format.name for image_format in FORMATS)
_TRANSPOSITIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Inspection:
    """A decoded picture with its header.

    Attributes:
        header: what its headers say.
        significant_bits: 8 to 16, the number of bits that its samples use.
        pixels: (size, size, 3) uint8 RGB; 16-bit samples are scaled by its own significant bits.
    """

    header: ImageHeader
    significant_bits: int
    pixels: NDArray[np.uint8]


def decode(
    data: bytes,
    size: int,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    *,
    significant_bits: int = FULL_RANGE_BITS,
    formats: Sequence[str] = _ALL_FORMATS,
) -> NDArray[np.uint8]:
    """Decode a picture.

    Args:
        data: the bytes of a file.
        size: side of the model's square input, in pixels.
        limits: on pixels, memory and time.
        significant_bits: 16-bit samples range from 0 to 2 ** significant_bits - 1.
        formats: names of the formats that are accepted.

    Returns:
        (size, size, 3) uint8, RGB, 0..255.

    Raises:
        UnsupportedMediaType: it is not of an accepted format.
        UndecodableImage: it is damaged or cut short.
        PayloadTooLarge: it exceeds the limits.
    """
    image_format = _identify_accepted(data, formats)
    with _decoding_errors(image_format, data):
        header, memory_bytes = _read_header(image_format, data, size, limits)
        with DECODING_MEMORY.reserve(memory_bytes):
            square = resize_to_square(header.decode(), size, significant_bits)
    return _apply_orientation(square, header.orientation)


def inspect(data: bytes, size: int) -> Inspection:
    """Decode a picture by its own significant bits, with its header; raises as `decode` does."""
    image_format = _identify_accepted(data, _ALL_FORMATS)
    with _decoding_errors(image_format, data):
        header, memory_bytes = _read_header(image_format, data, size, Limits())
        with DECODING_MEMORY.reserve(memory_bytes):
            stored = header.decode()
            bits = _significant_bits(stored)
            square = resize_to_square(stored, size, bits)
    return Inspection(header, bits, _apply_orientation(square, header.orientation))


def _identify_accepted(data: bytes, formats: Sequence[str]) -> ImageFormat:
    image_format = identify_format(data)
    if image_format.name not in formats:
        raise UnsupportedMediaType(
            f"format not supported: {image_format.name}; this model was trained without any, and "
            f"accepts {', '.join(formats)}: convert it, e.g. with ImageMagick: "
            f"magick in{image_format.suffixes[0]} out.png"
        )
    return image_format


def _read_header(
    image_format: ImageFormat, data: bytes, size: int, limits: Limits
) -> tuple[ImageHeader, int]:
    """Read the header, check it against the limits, and return it with the memory of decoding."""
    header = image_format.read_header(data, size)
    memory_bytes = header.memory_bytes + working_bytes(header.width, header.height, size)
    limits.check(header, memory_bytes)
    return header, memory_bytes


@contextmanager
def _decoding_errors(image_format: ImageFormat, data: bytes) -> Iterator[None]:
    """Turn the many types of errors that libraries raise on damaged bytes into a DamagedImage."""
    try:
        yield
    except RequestError:
        raise
    except Exception as error:
        is_readable = isinstance(error, ValueError) and image_format.name == "JPEG"
        raise damaged_error(image_format.name, data, error if is_readable else "") from error


def _significant_bits(stored: StoredPixels) -> int:
    """Count the bits that the samples of 16 bits use, outliers aside; 8 for other samples."""
    if isinstance(stored, np.ndarray) and stored.dtype == np.uint16:
        has_alpha = stored.ndim == 3 and stored.shape[2] in (2, 4)
        colours = stored[..., :-1] if has_alpha else stored
        bits = max(8, int(colours.max()).bit_length())
        while bits > 8 and np.count_nonzero(colours >> (bits - 1)) <= _OUTLIERS * colours.size:
            bits -= 1
        return bits
    return 8


def _apply_orientation(square: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Transpose the small square: the same pixels as from the large picture, for less work."""
    transposition = _TRANSPOSITIONS.get(orientation)
    if transposition is None:
        return square
    return np.array(Image.fromarray(square).transpose(transposition))
