"""Decode the bytes of a picture to RGB uint8 at the model's input size, within limits.

These are the rules; tests/service/imaging/test_decoding.py tests each of them:

- The format is identified by the content of the file, never by its name or a Content-Type header.
- The orientation in EXIF or XMP metadata is applied. If there are several frames or pages, the
  first is used.
- Gray becomes R=G=B, CMYK is converted to RGB, and palette indices are replaced with their colours.
- 16-bit samples are reduced to the upper 8 of their significant bits. The training pictures
  determine how many bits are significant.
- Transparent pixels are blended with white, as on a web page.
- The picture is stretched to a square with an antialiased bilinear filter; nothing is cropped.
- libjpeg can decode a JPEG at 1/2, 1/4 or 1/8 of its size. A large JPEG is decoded at the smallest
  of these sizes that is not smaller than the model's input.
- A decoded picture that is much larger than the model's input is averaged in blocks before it is
  resized.
- A damaged picture is refused, even if a part of it could be decoded.
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
"""The versions of Graft's decoder and of its libraries. They are recorded with every model, because
other versions may decode a picture to slightly different pixels."""

_MAX_OUTLIER_SHARE: Final = 1e-3
"""Largest share of a picture's samples that may exceed the range of the significant bits. These
samples are outliers, for example hot pixels of a sensor."""

FULL_RANGE_BITS: Final = 16
"""Number of significant bits if the samples use the full 16-bit range."""

_ALL_FORMATS: Final = tuple(image_format.name for image_format in FORMATS)
_ORIENTATION_TO_TRANSPOSE: Final = {
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
    """A decoded picture, its header, and the number of bits that its samples use.

    Attributes:
        header: size, mode and other properties, read from the headers of the file.
        significant_bits: number of bits that the samples use, 8 to 16, ignoring outliers.
        pixels: (size, size, 3) uint8 RGB; 16-bit samples are reduced to the upper 8 of their
            significant bits.
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
    """Decode a picture to RGB at the model's input size.

    Args:
        data: the bytes of a file.
        size: side of the model's square input, in pixels.
        limits: limits on pixels, memory and time.
        significant_bits: number of significant bits of 16-bit samples, 8 to 16. Samples that exceed
            the range of these bits become 255.
        formats: names of the accepted formats, as in `FORMATS`.

    Returns:
        (size, size, 3) uint8, RGB, 0..255.

    Raises:
        UnsupportedMediaType: Graft does not read the format or this variant of it, or `formats`
            does not contain the format.
        UndecodableImage: the picture is damaged, cut short or empty.
        PayloadTooLarge: the picture exceeds a limit.
    """
    image_format = _identify_accepted(data, formats)
    with _decoding_errors(image_format, data):
        header, memory_bytes = _read_header(image_format, data, size, limits)
        with DECODING_MEMORY.reserve(memory_bytes):
            square = resize_to_square(header.decode(), size, significant_bits)
    return _apply_orientation(square, header.orientation)


def inspect(data: bytes, size: int) -> Inspection:
    """Decode a picture, and determine how many bits of its samples are significant.

    All formats that Graft reads are accepted, and the default limits apply.

    Args:
        data: the bytes of a file.
        size: side of the model's square input, in pixels.

    Raises:
        RequestError: for the same reasons as in `decode`.
    """
    image_format = _identify_accepted(data, _ALL_FORMATS)
    with _decoding_errors(image_format, data):
        header, memory_bytes = _read_header(image_format, data, size, Limits())
        with DECODING_MEMORY.reserve(memory_bytes):
            stored = header.decode()
            bits = _significant_bits(stored)
            square = resize_to_square(stored, size, bits)
    return Inspection(header, bits, _apply_orientation(square, header.orientation))


def _identify_accepted(data: bytes, formats: Sequence[str]) -> ImageFormat:
    image_format = identify_format(data, formats)
    if image_format.name not in formats:
        raise UnsupportedMediaType(
            f"format not supported: {image_format.name}; this model was trained without "
            f"{image_format.name} pictures and accepts only {', '.join(formats)}; convert the "
            "picture to JPEG or PNG, e.g. with ImageMagick: "
            f"magick in{image_format.suffixes[0]} out.png"
        )
    return image_format


def _read_header(
    image_format: ImageFormat, data: bytes, size: int, limits: Limits
) -> tuple[ImageHeader, int]:
    """Read the header and check it against the limits.

    Returns:
        The header, and the largest number of bytes that decoding and resizing may allocate.
    """
    header = image_format.read_header(data, size)
    memory_bytes = header.memory_bytes + working_bytes(header.width, header.height, size)
    limits.check(header, memory_bytes)
    return header, memory_bytes


@contextmanager
def _decoding_errors(image_format: ImageFormat, data: bytes) -> Iterator[None]:
    """Raise DamagedImage instead of the various errors that libraries raise for damaged data."""
    try:
        yield
    except RequestError:
        raise
    except Exception as error:
        is_readable = isinstance(error, ValueError) and image_format.name == "JPEG"
        raise damaged_error(image_format.name, data, error if is_readable else "") from error


def _significant_bits(stored: StoredPixels) -> int:
    """Return how many bits the samples use, 8 to 16, ignoring outliers and the alpha channel."""
    if isinstance(stored, np.ndarray) and stored.dtype == np.uint16:
        has_alpha = stored.ndim == 3 and stored.shape[2] in (2, 4)
        colours = stored[..., :-1] if has_alpha else stored
        bits = max(8, int(colours.max()).bit_length())
        while (
            bits > 8
            and np.count_nonzero(colours >> (bits - 1)) <= _MAX_OUTLIER_SHARE * colours.size
        ):
            bits -= 1
        return bits
    return 8


def _apply_orientation(square: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Rotate or flip the square to apply an EXIF orientation.

    Rotating the resized square takes less time than rotating the whole picture before resizing, and
    the result is almost the same.
    """
    transpose = _ORIENTATION_TO_TRANSPOSE.get(orientation)
    if transpose is None:
        return square
    return np.array(Image.fromarray(square).transpose(transpose))
