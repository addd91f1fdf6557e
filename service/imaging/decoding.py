"""Bytes of a picture -> RGB uint8 at the model's input size, within limits.

The rules, each held by a picture in tests/service/imaging/test_decoding.py:

- the kind is read from the content, never from a name or a content type;
- the orientation that EXIF or XMP names is applied; the first frame or page counts;
- gray becomes R=G=B; CMYK is converted; palettes are looked up; of 16-bit samples the upper 8 of
  the significant bits count, as many as the training pictures had;
- transparency is laid over white, as a page would show it;
- the picture is stretched to a square with an antialiased bilinear filter. Nothing is cropped;
- a large JPEG is decoded at the smallest of libjpeg's halved sizes that is not below the input
  size; other large pictures are averaged in blocks first;
- what the decoder finds damaged is refused, also where it could go on.
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
from service.imaging.cost import DECODING_MEMORY, Limits
from service.imaging.header import Header, Pixels, damaged
from service.imaging.kinds import KINDS, Kind, identify
from service.imaging.shrinking import to_square, working_bytes

DECODER: Final = (
    f"graft-3 pillow-{PIL.__version__} opencv-{cv2.__version__} "
    f"simplejpeg-{metadata.version('simplejpeg')}"
)
"""Recorded with every model: another decoder may give other pixels."""

_OUTLIERS: Final = 1e-3
"""Share of samples, such as a sensor's hot pixels, that may lie above the significant bits."""

FULL_RANGE_BITS: Final = 16
"""Significant bits of 16-bit samples, unless the training pictures had fewer."""

_ALL_KINDS: Final = tuple(kind.name for kind in KINDS)
_UPRIGHT: Final = {
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
    """A picture and what is known of it.

    Attributes:
        header: what its headers say.
        significant_bits: of its samples, as far as its values use them; 8 to 16.
        pixels: (size, size, 3) uint8 RGB; samples of 16 bits spread over its own significant bits.
    """

    header: Header
    significant_bits: int
    pixels: NDArray[np.uint8]


def decode(
    data: bytes,
    size: int,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    *,
    significant_bits: int = FULL_RANGE_BITS,
    kinds: Sequence[str] = _ALL_KINDS,
) -> NDArray[np.uint8]:
    """Decode a picture.

    Args:
        data: the bytes of a file.
        size: side of the model's square input, in pixels.
        limits: what the picture may cost.
        significant_bits: 16-bit samples are worth 0 to 2 ** significant_bits - 1.
        kinds: names of the kinds that are accepted.

    Returns:
        (size, size, 3) uint8, RGB, 0..255.

    Raises:
        UnsupportedMediaType: another kind.
        UndecodableImage: damaged or cut short.
        PayloadTooLarge: beyond the limits.
    """
    with _damage_refused(kind := _accepted(data, kinds), data):
        header, memory_bytes = _checked(kind, data, size, limits)
        with DECODING_MEMORY.reserve(memory_bytes):
            square = to_square(header.read(), size, significant_bits)
    return _upright(square, header.orientation)


def inspect(data: bytes, size: int) -> Inspection:
    """Decode a picture for a look at it; raises what `decode` raises."""
    with _damage_refused(kind := _accepted(data, _ALL_KINDS), data):
        header, memory_bytes = _checked(kind, data, size, Limits())
        with DECODING_MEMORY.reserve(memory_bytes):
            stored = header.read()
            bits = _significant_bits(stored)
            square = to_square(stored, size, bits)
    return Inspection(header, bits, _upright(square, header.orientation))


def _accepted(data: bytes, kinds: Sequence[str]) -> Kind:
    kind = identify(data)
    if kind.name not in kinds:
        raise UnsupportedMediaType(
            f"kind not supported: {kind.name}; this model was trained without any, and takes "
            f"{', '.join(kinds)}: convert it, e.g. by ImageMagick: magick in{kind.suffixes[0]} "
            "out.png"
        )
    return kind


def _checked(kind: Kind, data: bytes, size: int, limits: Limits) -> tuple[Header, int]:
    """The header of a picture that may be decoded, and the memory that this will take."""
    header = kind.read_header(data, size)
    memory_bytes = header.memory_bytes + working_bytes(header.width, header.height, size)
    limits.check(header, memory_bytes)
    return header, memory_bytes


@contextmanager
def _damage_refused(kind: Kind, data: bytes) -> Iterator[None]:
    """Make a refusal of whatever the libraries raise on damaged bytes, which is a dozen types."""
    try:
        yield
    except RequestError:
        raise
    except Exception as error:
        known = str(error) if isinstance(error, ValueError) and kind.name == "JPEG" else ""
        raise damaged(kind.name, data, known) from error


def _significant_bits(stored: Pixels) -> int:
    if isinstance(stored, np.ndarray) and stored.dtype == np.uint16:
        has_alpha = stored.ndim == 3 and stored.shape[2] in (2, 4)
        colours = stored[..., :-1] if has_alpha else stored
        bits = max(8, int(colours.max()).bit_length())
        while bits > 8 and np.count_nonzero(colours >> (bits - 1)) <= _OUTLIERS * colours.size:
            bits -= 1
        return bits
    return 8


def _upright(square: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turning the small square gives the same pixels as turning the picture, for less work."""
    turn = _UPRIGHT.get(orientation)
    return square if turn is None else np.array(Image.fromarray(square).transpose(turn))
