"""One look at every file: what kind of picture it is, and a thumbnail to compare it by.

A look depends on the bytes alone, not on the model's input size, so neither splits nor findings
change with the backbone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import DamagedImage, PayloadTooLarge, RequestError
from service.imaging import DECODER, inspect
from service.machine import usable_cores
from trainers.cache import Cache, Recipe
from trainers.progress import Progress
from trainers.scanning import Candidate, DataError, LeftOut

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Files are read whole, one per thread."""
SIDE = 32
_DECODED = 2 * SIDE
_BLANK = 2
"""Largest difference between two pixels of one channel, of a picture without content: JPEG's."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in Pillow's gray

LOOK = np.dtype(
    [
        ("format", "S4"),  # the name of its kind: JPEG, PNG, ...
        ("mode", "S8"),  # Pillow's: RGB, L, CMYK, P, ...
        ("bits", np.uint8),  # per sample, 1 to 16
        ("significant_bits", np.uint8),  # as far as its values use them; at least 8
        ("is_blank", np.bool_),  # of one colour everywhere, as it is decoded
        ("is_transparent", np.bool_),
        ("frames", np.uint32),
        ("orientation", np.uint8),  # EXIF's: 1 is upright
        ("width", np.uint32),  # in pixels, as stored: before EXIF turns it
        ("height", np.uint32),
        ("thumbnail", np.uint8, (SIDE, SIDE)),  # gray, upright, stretched to a square
    ]
)
"""A record per picture, of one size: looks are kept in files and arrays."""


def look(data: bytes) -> NDArray[np.void]:
    """Decode a picture whole and describe it.

    Returns:
        A record () of LOOK.

    Raises:
        RequestError: no picture, damaged, cut short or too large; as the service says it.
    """
    seen = inspect(data, _DECODED)
    header, gray = seen.header, seen.pixels.astype(np.float32) @ _LUMA
    record = np.zeros((), LOOK)
    record["format"], record["mode"], record["bits"] = header.kind, header.mode, header.bits
    record["significant_bits"] = seen.significant_bits
    record["is_blank"] = np.ptp(seen.pixels, axis=(0, 1)).max() <= _BLANK
    record["is_transparent"], record["frames"] = header.is_transparent, header.frames
    record["orientation"] = header.orientation
    record["width"], record["height"] = header.width, header.height
    record["thumbnail"] = gray.reshape(SIDE, 2, SIDE, 2).mean((1, 3)).round()
    return record


def look_at(
    files: Sequence[Candidate], cache: Cache
) -> tuple[NDArray[np.void], list[str], dict[int, LeftOut]]:
    """Read every file once, in threads.

    Returns:
        looks (N,) of LOOK, sha256 digests, and problems by row; where there is a problem the look
        is empty.
    """
    looks = np.zeros(len(files), LOOK)
    problems: dict[int, LeftOut] = {}

    def complain(row: int, error: Exception) -> None:
        problems[row] = LeftOut(files[row].name, str(error), _kind(error))

    digests = _hash(files, complain, cache.progress)
    readable = np.array([row for row, digest in enumerate(digests) if digest], np.int64)

    def make(positions: NDArray[np.int64]) -> NDArray[np.void]:
        return np.stack(
            [_look_or_nothing(files[row].path, digests[row]) for row in readable[positions]]
        )

    keys = [bytes.fromhex(digests[row]) for row in readable]
    origin = f"{LOOK.descr} {DECODER}"
    looks[readable] = cache.fill("looks", origin, keys, lambda: Recipe((), LOOK, make))[:]
    for row in readable[looks["format"][readable] == b""]:  # again, to hear why
        try:
            look(read_file(files[row].path))
        except (RequestError, OSError) as error:
            complain(row, error)
    return looks, digests, problems


def _hash(
    files: Sequence[Candidate], complain: Callable[[int, Exception], None], progress: Progress
) -> list[str]:
    """SHA-256 of every file, "" where it cannot be read."""

    def hash_row(row: int) -> str:
        try:
            return hashlib.sha256(read_file(files[row].path)).hexdigest()
        except (RequestError, OSError) as error:
            complain(row, error)
            return ""

    with ThreadPoolExecutor(usable_cores()) as threads:
        digests = threads.map(hash_row, range(len(files)))
        return list(progress.track(digests, len(files), "reading files"))


def _look_or_nothing(path: Path, digest: str) -> NDArray[np.void]:
    data = read_unchanged(path, digest)
    try:
        return look(data)
    except RequestError:  # of the content: the same whenever it is looked at
        return np.zeros((), LOOK)


def read_unchanged(path: Path, digest: str) -> bytes:
    """The bytes of a picture whose SHA-256 is known.

    Raises:
        DataError: it is no longer what it was, or can no longer be read.
    """
    reason = ""
    try:
        data = read_file(path)
        if hashlib.sha256(data).hexdigest() == digest:
            return data
    except (RequestError, OSError) as error:
        reason = f" ({error})"
    raise DataError(
        f"{path} changed while the folder was read{reason}: run again when nobody writes to it "
        "any more"
    )


def read_file(path: Path) -> bytes:
    """The bytes of a picture.

    Raises:
        OSError, PayloadTooLarge: it cannot be read, or is larger than any picture.
    """
    size_bytes = path.stat().st_size
    if size_bytes > MAX_FILE_BYTES:
        raise PayloadTooLarge(f"has {size_bytes:,} bytes: larger than any picture")
    # What is not on a disk, as below /proc, says 0 as well, and may let a reader wait for ever.
    return path.read_bytes() if size_bytes else b""


def _kind(error: Exception) -> str:
    """Which finding a problem is. An empty file is one that cannot be read."""
    return "truncated" if isinstance(error, DamagedImage) else "unreadable"
