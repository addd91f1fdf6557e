"""Sample pictures of a bundle: a few golden pictures, as small JPEGs, for people who try the model.

The golden pictures are the owner's data. A sample has only their pixels: the metadata of a picture,
such as the place where it was taken, is left out.
"""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Final

from PIL import Image

from service import imaging
from service.bundle.reading import Bundle
from service.errors import RequestError

MAX_SAMPLES: Final = 3
SIDE_PIXELS: Final = 512
"""The longer side of a sample has at most this many pixels."""
_JPEG_QUALITY: Final = 90
_FIRST_TURNED: Final = 5
"""From this EXIF orientation on, width and height are swapped."""


def read_samples(bundle: Bundle) -> list[bytes]:
    """Return up to MAX_SAMPLES golden pictures, each of another most probable class, as JPEGs.

    Raises:
        BundleError: a golden picture cannot be read, or was replaced since the bundle was read.
    """
    first_of_class: dict[int, Path] = {}
    for path, probabilities in bundle.golden():
        first_of_class.setdefault(probabilities.index(max(probabilities)), path)
    samples = []
    for path in list(first_of_class.values())[:MAX_SAMPLES]:
        with suppress(RequestError):  # too large to be decoded at this size; the model needs less
            samples.append(_shrink(bundle.content(f"golden/{path.name}")))
    return samples


def _shrink(data: bytes) -> bytes:
    """Encode a picture again as a JPEG without metadata, of at most SIDE_PIXELS per side."""
    inspection = imaging.inspect(data, SIDE_PIXELS)
    header = inspection.header
    width, height = header.width, header.height
    if header.orientation >= _FIRST_TURNED:
        width, height = height, width
    scale = min(1.0, SIDE_PIXELS / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    buffer = io.BytesIO()
    square = Image.fromarray(inspection.pixels)
    square.resize(size, Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
