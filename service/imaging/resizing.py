"""Convert decoded pixels to RGB on a white background, and resize them to the model's input size.

A large picture is converted in strips of rows: each strip is reduced to 8 bits, blended with white
and averaged in blocks. So memory never contains a second copy of the whole picture, and no single
operation holds the GIL for long.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.imaging.readers.header import StoredPixels

_MAX_SMOOTHING_SCALE: Final = 2.25
"""Largest ratio of the picture's side to the model's input side for which `_smoothing_kernel` is
used. For larger ratios, the middle weight of the kernel would be too small."""
_OVERSAMPLING: Final = 4
"""After a large picture is averaged in blocks, each side that became smaller is at least this
multiple of the model's input side. So averaging changes the resized picture by less than 1 of 255
levels."""
_STRIP_PIXELS: Final = 1 << 20
"""Approximate number of pixels in a strip of rows."""


def working_bytes(width: int, height: int, size: int) -> int:
    """Return the largest number of bytes that `resize_to_square` may allocate for a picture.

    Args:
        width, height: size of the decoded picture, in pixels.
        size: side of the model's input, in pixels.
    """
    max_side = 2 * _OVERSAMPLING * size
    strip = min(width * height, max(_STRIP_PIXELS, width * (height // (_OVERSAMPLING * size))))
    return 7 * min(width, max_side) * min(height, max_side) + 16 * strip


def resize_to_square(pixels: StoredPixels, size: int, significant_bits: int) -> NDArray[np.uint8]:
    """Convert pixels to RGB and stretch them to a square with an antialiased bilinear filter.

    Args:
        pixels: the decoded pixels, as `ImageHeader.decode` returns them.
        size: side of the model's input, in pixels.
        significant_bits: number of significant bits of 16-bit samples, 8 to 16. Samples that exceed
            the range of these bits become 255.

    Returns:
        (size, size, 3) uint8.
    """
    width, height = _size_of(pixels)
    block_width, block_height = (max(1, side // (_OVERSAMPLING * size)) for side in (width, height))
    if block_width == block_height == 1 and width * height <= _STRIP_PIXELS:
        return _resize(_to_rgb(pixels, significant_bits), size)
    averages = _block_averages(pixels, (block_width, block_height), significant_bits)
    box = (0, 0, width / block_width, height / block_height)  # blocks at the edges may be smaller
    square = Image.fromarray(averages).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.array(square)


def _block_averages(
    pixels: StoredPixels, block: tuple[int, int], significant_bits: int
) -> NDArray[np.uint8]:
    """Average each block of pixels, strip by strip.

    Args:
        pixels: the decoded pixels.
        block: width and height of a block, in pixels.
        significant_bits: number of significant bits of 16-bit samples.

    Returns:
        The averages in RGB, of shape (rows of blocks, columns of blocks, 3).
    """
    (width, height), (block_width, block_height) = _size_of(pixels), block
    rows = max(1, _STRIP_PIXELS // (width * block_height)) * block_height
    result = np.empty((-(-height // block_height), -(-width // block_width), 3), np.uint8)
    for top in range(0, height, rows):
        strip = _rgb_strip(pixels, top, min(top + rows, height), significant_bits)
        averages = np.asarray(strip.reduce(block))
        first = top // block_height
        result[first : first + len(averages)] = averages
    return result


def _resize(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize (H, W, 3) to (size, size, 3), with Pillow for large reductions, else with OpenCV."""
    height, width, _ = pixels.shape
    if max(height, width) > _MAX_SMOOTHING_SCALE * size:
        return np.array(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
    if max(height, width) > size:
        horizontal = _smoothing_kernel(width / size)
        vertical = _smoothing_kernel(height / size)
        smooth = cv2.sepFilter2D(pixels, -1, horizontal, vertical, borderType=cv2.BORDER_REPLICATE)
        pixels = np.asarray(smooth, np.uint8)
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _to_rgb(pixels: StoredPixels, significant_bits: int) -> NDArray[np.uint8]:
    """Convert a whole picture to RGB, of shape (H, W, 3)."""
    if (
        not isinstance(pixels, Image.Image)
        and pixels.dtype == np.uint8
        and pixels.shape[2:] == (3,)
    ):
        return np.asarray(pixels, np.uint8)
    return np.asarray(_rgb_strip(pixels, 0, _size_of(pixels)[1], significant_bits))


def _size_of(pixels: StoredPixels) -> tuple[int, int]:
    """Return the width and the height of a picture."""
    if isinstance(pixels, Image.Image):
        return pixels.size
    return pixels.shape[1], pixels.shape[0]


def _rgb_strip(pixels: StoredPixels, top: int, bottom: int, significant_bits: int) -> Image.Image:
    """Return the rows from `top` to `bottom - 1` as an RGB image, blended with white."""
    if isinstance(pixels, Image.Image):
        is_whole = (top, bottom) == (0, pixels.height)
        strip = pixels if is_whole else pixels.crop((0, top, pixels.width, bottom))
    else:
        strip = Image.fromarray(_to_8_bits(pixels[top:bottom], significant_bits))
    if strip.mode == "La":  # premultiplied alpha, which Pillow converts only to LA
        strip = strip.convert("LA")
    if strip.has_transparency_data:
        rgba = strip.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return strip.convert("RGB")


def _to_8_bits(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], significant_bits: int
) -> NDArray[np.uint8]:
    """Reduce 16-bit samples to the upper 8 of their significant bits.

    Samples that exceed the range of these bits become 255. In the alpha channel, all 16 bits are
    significant.
    """
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    upper = np.minimum(pixels >> (significant_bits - 8), 255)
    values: NDArray[np.uint8] = upper.astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        values[..., -1] = pixels[..., -1] >> 8
    return values


def _smoothing_kernel(scale: float) -> NDArray[np.float32]:
    """Return the three weights of a smoothing filter, which is applied before linear interpolation.

    Smoothing and interpolation together imitate Pillow's bilinear filter: they have the same
    variance. Pillow's filter is a triangle that extends `scale` pixels to each side; its variance
    is scale^2 / 6. Linear interpolation has the variance 1 / 6, and smoothing with the weights
    [w, 1 - 2w, w] adds the variance 2w.

    Args:
        scale: side of the picture divided by the side of the model's input.
    """
    weight = max(0.0, (scale**2 - 1) / 12)
    return np.array([weight, 1 - 2 * weight, weight], np.float32)
