"""Decode pixels with OpenCV, which reads 16-bit samples, and WebP with less memory than Pillow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_STRIP_PIXELS = 1 << 20


def decode_with_opencv(
    data: bytes, size: tuple[int, int]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode the first picture of a file without applying its orientation.

    Args:
        data: the bytes of a file whose headers are valid.
        size: width and height according to these headers.

    Returns:
        (H, W) gray, (H, W, 3) RGB or (H, W, 4) RGBA; uint8 or uint16.

    Raises:
        ValueError: the file cannot be decoded, the decoded size is not `size`, or the samples have
            neither 8 nor 16 bits.
    """
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(str(error)) from None
    if (
        stored is None
        or stored.shape[:2] != size[::-1]
        or stored.dtype not in (np.uint8, np.uint16)
    ):
        raise ValueError("the pixels cannot be decoded, or have an unexpected size or bit depth")
    pixels: NDArray[np.uint8] | NDArray[np.uint16] = stored  # type: ignore[assignment]
    if pixels.ndim == 3:
        to_rgb = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        rows = max(1, _STRIP_PIXELS // pixels.shape[1])
        for start in range(
            0, len(pixels), rows
        ):  # convert in place: a copy would double the memory
            strip = pixels[start : start + rows]
            strip[:] = cv2.cvtColor(strip, to_rgb)
    return pixels
