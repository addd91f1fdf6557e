"""Read JPEG: parse the header, and decode with simplejpeg (libjpeg-turbo) or, rarely, Pillow."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from service.imaging.readers.header import ImageHeader, StoredPixels
from service.imaging.readers.jpeg_segments import Frame, read_frame

_COLOURS: Final = {1: ("L", "GRAY"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK")}
"""Number of components -> (Pillow's mode, simplejpeg's colour space)."""
_NANOSECONDS_PER: Final = {
    "byte": 10.0,
    "pixel": 1.5,
    "scanned sample": 0.35,
    "decoded pixel": 12.0,
}
"""Estimated decoding times: per byte of the file, per pixel of the stored picture, per sample of
each scan (only if libjpeg stores coefficients), and per pixel at the decoded size."""


def read_header(data: bytes, size: int) -> ImageHeader:
    """Read the header of a JPEG.

    Args:
        data: the bytes of the file.
        size: side of the model's input, in pixels. A larger picture may be decoded at a reduced
            size.

    Raises:
        UnsupportedMediaType: the coding process, precision or components are not supported.
        DamagedImage: the file has no valid frame header, too many segments, or too many bytes
            between segments.
    """
    frame = read_frame(data)
    pixels = frame.width * frame.height
    reduction = 1 if frame.is_lossless else _max_reduction(frame.width, frame.height, size)
    decoded = -(-frame.width // reduction) * -(-frame.height // reduction)
    channels = len(frame.sampling)
    nanoseconds = _NANOSECONDS_PER["byte"] * len(frame.clean) + _NANOSECONDS_PER["pixel"] * pixels
    nanoseconds += _NANOSECONDS_PER["decoded pixel"] * decoded * (3 if frame.is_lossless else 1)
    if frame.coefficient_bytes:
        samples = frame.coefficient_bytes / 2
        nanoseconds += _NANOSECONDS_PER["scanned sample"] * samples * frame.scans
    return ImageHeader(
        format="JPEG",
        width=frame.width,
        height=frame.height,
        mode=_COLOURS[channels][0],
        orientation=frame.orientation,
        memory_bytes=len(frame.clean) + frame.coefficient_bytes + 2 * decoded * channels,
        seconds=nanoseconds / 1e9,
        decode=lambda: _decode(frame, size, reduction),
    )


def _max_reduction(width: int, height: int, size: int) -> int:
    """Return the largest reduction by libjpeg (2, 4 or 8) that leaves both sides at least `size`.

    Return 1 (no reduction) if there is none.
    """
    return max(scale for scale in (1, 2, 4, 8) if scale <= max(1, min(width, height) // size))


def _decode(frame: Frame, size: int, reduction: int) -> StoredPixels:
    channels = len(frame.sampling)
    height, width = -(-frame.height // reduction), -(-frame.width // reduction)
    # Allocate room for the picture in full size, because libjpeg may not reduce it. The system only
    # provides memory for the pages that are written.
    buffer = _allocate(frame.width * frame.height * channels)
    target = {} if frame.is_lossless else {"min_height": height, "min_width": width}
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            frame.clean, _COLOURS[channels][1], buffer=buffer, **target
        )
    except ValueError as error:
        if "subsampling" not in str(error):
            raise
        return _decode_with_pillow(frame, size)  # TurboJPEG does not know these sampling factors
    if pixels.shape != (height, width, channels):
        raise ValueError(
            f"the decoded shape is {pixels.shape}, not {(height, width, channels)} as in the header"
        )
    if channels == 4:  # CMYK is stored inverted, as Adobe writes it
        return Image.frombuffer("CMYK", (width, height), 255 - pixels, "raw", "CMYK", 0, 1)
    return pixels[..., 0] if channels == 1 else pixels


def _allocate(size: int) -> NDArray[np.uint8]:
    """Allocate `size` bytes of memory for libjpeg to write to."""
    return np.empty(size, np.uint8)


def _decode_with_pillow(frame: Frame, size: int) -> Image.Image:
    picture = JpegImageFile(io.BytesIO(frame.clean))
    if picture.size != (frame.width, frame.height):
        raise ValueError(
            f"the decoded size is {picture.size}, not {(frame.width, frame.height)} as in the "
            "header"
        )
    picture.draft(None, (size, size))
    picture.load()
    return picture
