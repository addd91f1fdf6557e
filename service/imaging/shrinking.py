"""Pixels as a file stores them -> RGB, on white where they are transparent, at the input's size.

Large pictures go strip by strip: to 8 bits, over white, and averaged in blocks. So a conversion
never holds the whole picture twice, nor the interpreter's lock for long.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.imaging.header import Pixels

_SMOOTHED: Final = 2.25
"""Largest scale at which the three weights are a smoothing: beyond it the middle one fades."""
_BLOCKS: Final = 4
"""Blocks are averaged as long as the result is this many times larger than the input: what the
filter sees then differs by less than 1 level from what it would see in the whole picture."""
_STRIP_PIXELS: Final = 1 << 20


def working_bytes(width: int, height: int, size: int) -> int:
    """Most memory that `to_square` takes besides the pixels of a picture."""
    most = 2 * _BLOCKS * size
    strip = min(width * height, max(_STRIP_PIXELS, width * (height // (_BLOCKS * size))))
    return 7 * min(width, most) * min(height, most) + 16 * strip


def to_square(pixels: Pixels, size: int, significant_bits: int) -> NDArray[np.uint8]:
    """Make pixels RGB and stretch them by an antialiased bilinear filter.

    Args:
        pixels: as a reader gave them.
        size: side of the model's input.
        significant_bits: 16-bit samples are worth 0 to 2 ** significant_bits - 1; 8 to 16.

    Returns:
        (size, size, 3) uint8.
    """
    width, height = _sides(pixels)
    across, down = (max(1, side // (_BLOCKS * size)) for side in (width, height))
    if across == down == 1 and width * height <= _STRIP_PIXELS:
        return _resized(_to_rgb(pixels, significant_bits), size)
    averages = _averages(pixels, (across, down), significant_bits)
    box = (0, 0, width / across, height / down)  # the last blocks may be cut
    square = Image.fromarray(averages).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.array(square)


def _averages(pixels: Pixels, block: tuple[int, int], significant_bits: int) -> NDArray[np.uint8]:
    """(H, W, 3) averages of blocks, made strip by strip."""
    (width, height), (across, down) = _sides(pixels), block
    rows = max(1, _STRIP_PIXELS // (width * down)) * down
    result = np.empty((-(-height // down), -(-width // across), 3), np.uint8)
    for top in range(0, height, rows):
        strip = _strip(pixels, top, min(top + rows, height), significant_bits)
        part = np.asarray(strip.reduce(block))
        result[top // down : top // down + len(part)] = part
    return result


def _resized(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(H, W, 3) -> (size, size, 3), by OpenCV up to a scale of `_SMOOTHED`, by Pillow beyond."""
    height, width, _ = pixels.shape
    if max(height, width) > _SMOOTHED * size:
        return np.array(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
    if max(height, width) > size:
        across, down = _smoothing(width / size), _smoothing(height / size)
        smooth = cv2.sepFilter2D(pixels, -1, across, down, borderType=cv2.BORDER_REPLICATE)
        pixels = np.asarray(smooth, np.uint8)
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _to_rgb(pixels: Pixels, significant_bits: int) -> NDArray[np.uint8]:
    """(H, W, 3) of a whole picture."""
    if (
        not isinstance(pixels, Image.Image)
        and pixels.dtype == np.uint8
        and pixels.shape[2:] == (3,)
    ):
        return np.asarray(pixels, np.uint8)
    return np.asarray(_strip(pixels, 0, _sides(pixels)[1], significant_bits))


def _sides(pixels: Pixels) -> tuple[int, int]:
    """Width and height."""
    if isinstance(pixels, Image.Image):
        return pixels.size
    return pixels.shape[1], pixels.shape[0]


def _strip(pixels: Pixels, top: int, bottom: int, significant_bits: int) -> Image.Image:
    """Some rows as an RGB picture."""
    if isinstance(pixels, Image.Image):
        is_whole = (top, bottom) == (0, pixels.height)
        strip = pixels if is_whole else pixels.crop((0, top, pixels.width, bottom))
    else:
        strip = Image.fromarray(_to_bytes(pixels[top:bottom], significant_bits))
    if strip.mode == "La":  # premultiplied, which Pillow turns into nothing but this
        strip = strip.convert("LA")
    if strip.has_transparency_data:
        layered = strip.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert(
            "RGB"
        )
    return strip.convert("RGB")


def _to_bytes(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], significant_bits: int
) -> NDArray[np.uint8]:
    """The upper 8 of the bits that count; what is above them is white. Alpha always has 16."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    upper = np.minimum(pixels >> (significant_bits - 8), 255)
    values: NDArray[np.uint8] = upper.astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        values[..., -1] = pixels[..., -1] >> 8
    return values


def _smoothing(scale: float) -> NDArray[np.float32]:
    """Three weights that make linear interpolation as broad as Pillow's filter.

    That is a triangle `scale` pixels to each side, of variance scale^2 / 6; interpolation alone
    has 1 / 6, and the weights [w, 1 - 2w, w] add 2w.
    """
    weight = max(0.0, (scale**2 - 1) / 12)
    return np.array([weight, 1 - 2 * weight, weight], np.float32)
