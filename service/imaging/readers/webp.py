"""Read WebP: parse its chunks, and decode the picture or the first frame with OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.errors import DamagedImage
from service.imaging.readers.header import (
    BLENDING_NANOSECONDS_PER_PIXEL,
    ImageHeader,
    damaged_error,
)
from service.imaging.readers.opencv import decode_with_opencv
from service.imaging.readers.orientation import read_orientation

_MAX_CHUNKS: Final = 10_000
_HAS_ALPHA, _IS_ANIMATED = 0x10, 0x02
_NANOSECONDS_PER: Final = {"pixel": 8.0, "byte": 80.0}
"""Estimated decoding times: per pixel, and per byte of the file."""


def read_header(data: bytes, _size: int) -> ImageHeader:
    """Read the header of a WebP.

    Raises:
        DamagedImage: the picture is missing or exceeds the canvas, or there are too many chunks.
    """
    exif, xmp, frames, still = b"", b"", 0, data
    alpha, canvas, box = False, (0, 0), (0, 0, 0, 0)
    for name, body in _chunks(data, 12):
        if name == b"VP8X" and len(body) >= 10:
            alpha, canvas = bool(body[0] & _HAS_ALPHA), (_uint24(body, 4) + 1, _uint24(body, 7) + 1)
        elif name in (b"VP8 ", b"VP8L") and not frames and not box[2]:
            box = (0, 0, *_frame_size(name, body))
            alpha |= name == b"VP8L" and box[2] > 0 and bool(body[4] & 0x10)
        elif name == b"ANMF" and len(body) > 24:
            frames += 1
            if frames == 1:
                left, top, width, height = (_uint24(body, at) for at in (0, 3, 6, 9))
                box = (2 * left, 2 * top, width + 1, height + 1)
                still, alpha = _as_still(body[16:], box[2:]), True
        elif name == b"EXIF":
            exif = body
        elif name == b"XMP ":
            xmp = body
    width, height = canvas if any(canvas) else box[2:]
    left, top, frame_width, frame_height = box
    if not (frame_width and left + frame_width <= width and top + frame_height <= height):
        raise damaged_error("WebP", data, "the picture is missing or exceeds the canvas")
    pixels, decoded, channels = width * height, frame_width * frame_height, 3 + alpha
    covers_canvas = decoded == pixels

    def decode() -> NDArray[np.uint8]:
        frame = np.asarray(decode_with_opencv(still, (frame_width, frame_height)), np.uint8)
        return frame if covers_canvas else _on_canvas(frame, (width, height), (left, top))

    return ImageHeader(
        format="WebP",
        width=width,
        height=height,
        mode="RGBA" if alpha and not frames else "RGB",
        frames=max(1, frames),
        is_transparent=alpha and not frames,
        orientation=read_orientation(exif, xmp),
        memory_bytes=len(still) + 2 * channels * decoded + (0 if covers_canvas else 4 * pixels),
        seconds=(
            (_NANOSECONDS_PER["pixel"] + BLENDING_NANOSECONDS_PER_PIXEL * alpha) * pixels
            + _NANOSECONDS_PER["byte"] * len(still)
        )
        / 1e9,
        decode=decode,
    )


def _chunks(data: bytes, position: int) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            return
        end = position + 8 + int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], data[position + 8 : end]
        position = end + end % 2  # chunks start at even offsets
    raise DamagedImage(
        f"the WebP has more than {_MAX_CHUNKS:,} chunks; save it again in an image editor, or as "
        "JPEG"
    )


def _uint24(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 3], "little")


def _frame_size(name: bytes, body: bytes) -> tuple[int, int]:
    """Return the width and the height of the picture in a VP8 or VP8L chunk; 0, 0 if unknown.

    libwebp allocates memory for the whole picture before it decodes anything. So the size must be
    known earlier, to check the limits.
    """
    if len(body) < 10:
        return 0, 0
    if name == b"VP8L":
        both = int.from_bytes(body[1:5], "little")
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(
        body[8:10], "little"
    ) & 0x3FFF


def _as_still(chunks: bytes, size: tuple[int, int]) -> bytes:
    """Make a WebP file from one frame of an animation.

    Args:
        chunks: the chunks of the frame.
        size: width and height of the frame, in pixels.
    """
    flags = _HAS_ALPHA if any(name in (b"ALPH", b"VP8L") for name, _ in _chunks(chunks, 0)) else 0
    width, height = ((side - 1).to_bytes(3, "little") for side in size)
    extended = b"VP8X\x0a\0\0\0" + bytes([flags, 0, 0, 0]) + width + height
    return (
        b"RIFF"
        + (4 + len(extended) + len(chunks)).to_bytes(4, "little")
        + b"WEBP"
        + extended
        + chunks
    )


def _on_canvas(
    frame: NDArray[np.uint8], size: tuple[int, int], corner: tuple[int, int]
) -> NDArray[np.uint8]:
    """Place a frame on a transparent canvas.

    Args:
        frame: (H, W, 3) RGB or (H, W, 4) RGBA.
        size: width and height of the canvas, in pixels.
        corner: position of the frame's upper left corner on the canvas, (x, y) in pixels.

    Returns:
        The canvas, (height, width, 4) RGBA.
    """
    canvas = np.zeros((size[1], size[0], 4), np.uint8)
    part = canvas[corner[1] : corner[1] + len(frame), corner[0] : corner[0] + frame.shape[1]]
    part[..., :3], part[..., 3] = frame[..., :3], frame[..., 3] if frame.shape[2] == 4 else 255
    return canvas
