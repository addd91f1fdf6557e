"""What a picture would cost to read, before anything reads it: its segments, chunks and scans.

Width times height bounds a picture's memory, not its time. Each scan of a JPEG goes over the whole
picture, also when it holds nothing: 296 kB with 100 scans too many took 3.7 s for 49 megapixels,
and 20 MB would take hours. Pillow reads headers in Python: 20 MB of empty comments, filling or
chunks took 3 to 5 s.
"""

from __future__ import annotations

import re
from typing import Final

from service.errors import PayloadTooLarge, UndecodableImage

MAX_SCANS: Final = 32
"""Most scans of a JPEG with as many pixels as are accepted, in proportion more of a smaller one:
encoders make about 10. At 50 megapixels 32 take about 1.2 s."""
_MAX_PARTS: Final = 10_000
"""Most segments, or chunks besides those of `_CHUNK_BYTES`."""
_CHUNK_BYTES: Final = 4096
"""Half of what libpng puts into a chunk: a sound PNG of 100 MB may have 12,000 of them."""
_MAX_JUNK: Final = 65_536
"""Most bytes between two segments of a JPEG's header: some cameras leave a few."""

_START_OF_SCAN, _END = 0xDA, 0xD9
_NO_FRAMES: Final = (0xC4, 0xC8, 0xCC)
"""Huffman tables, a reserved marker and arithmetic tables: the others of C0 to CF are frames."""
# What libjpeg takes for the start of a segment. All else stands alone, or is skipped by it at a
# restart without its length: following one would hide the scans behind it.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")


def count_scans(data: bytes) -> int:
    """Scans of a JPEG, walked from segment to segment up to its end.

    Raises:
        UndecodableImage: it has more segments, or junk between them, than any camera writes.
    """
    scans, position = 0, 2
    for _ in range(_MAX_PARTS):
        found = _MARKER.search(data, position)
        if not scans and (found.start() if found else len(data)) - position > _MAX_JUNK:
            raise UndecodableImage(f"more than {_MAX_JUNK:,} bytes between segments of the JPEG")
        if not found or data[found.end() - 1] == _END:
            return scans
        scans += data[found.end() - 1] == _START_OF_SCAN
        length = int.from_bytes(data[found.end() : found.end() + 2])
        position = found.end() + max(2, length)
    raise UndecodableImage(f"the JPEG has more than {_MAX_PARTS:,} segments")


def is_lossless_jpeg(data: bytes) -> bool:
    """Whether the frame of a JPEG is of a lossless process (SOF3, 7, 11 or 15).

    libjpeg-turbo does not scale those: asked for a reduced picture, it writes the whole one.
    """
    position = 2
    for _ in range(_MAX_PARTS):
        found = _MARKER.search(data, position)
        if not found or data[found.end() - 1] == _END:
            return False
        marker = data[found.end() - 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            return marker & 3 == 3
        position = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2]))
    return False


def refuse_many_scans(scans: int, pixels: int, max_pixels: int) -> None:
    """Raise PayloadTooLarge where so many scans of so many pixels would take seconds."""
    if scans * pixels > MAX_SCANS * max_pixels:
        raise PayloadTooLarge(
            f"the JPEG has {scans} scans of {pixels:,} pixels; at most "
            f"{MAX_SCANS * max_pixels // pixels} are accepted: save it without so many"
        )


def refuse_many_chunks(data: bytes) -> None:
    """Raise UndecodableImage where a PNG has more chunks than any program writes."""
    position = 8
    most = _MAX_PARTS + len(data) // _CHUNK_BYTES
    for _ in range(most):
        if position >= len(data):
            return
        position += 12 + int.from_bytes(data[position : position + 4])
    raise UndecodableImage(f"the PNG has more than {most:,} chunks")


def webp_canvas(data: bytes) -> tuple[int, int]:
    """Width and height that a WebP claims: libwebp takes memory for them as soon as it looks."""

    def number(start: int, end: int) -> int:
        return int.from_bytes(data[start:end], "little")

    kind = data[12:16]
    if kind == b"VP8X":
        return number(24, 27) + 1, number(27, 30) + 1
    if kind == b"VP8L":
        return (number(21, 25) & 0x3FFF) + 1, (number(21, 25) >> 14 & 0x3FFF) + 1
    return number(26, 28) & 0x3FFF, number(28, 30) & 0x3FFF
