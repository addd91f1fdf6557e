"""One look at every file: what kind of picture it is, and a thumbnail to compare it by.

A look depends on the bytes alone, not on the model's input size, so neither splits nor findings
change with the backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import RequestError
from service.imaging import inspect
from trainers.cache import code_identity
from trainers.cache.array_cache import Cache, Recipe
from trainers.dataset.digests import of_files, read_file, read_unchanged
from trainers.dataset.folders.contents import why_not
from trainers.dataset.scanning import Candidate, LeftOut

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
        kind, reason = why_not(files[row].path, error)
        problems[row] = LeftOut(files[row].name, reason, kind)

    digests = of_files([one.path for one in files], complain, cache)
    readable = np.array([row for row, digest in enumerate(digests) if digest], np.int64)

    def make(positions: NDArray[np.int64]) -> NDArray[np.void]:
        return np.stack(
            [_look_or_nothing(files[row].path, digests[row]) for row in readable[positions]]
        )

    keys = [bytes.fromhex(digests[row]) for row in readable]
    recipe = Recipe((), LOOK, make)
    looks[readable] = cache.fill("looks", code_identity.identity(__name__), keys, lambda: recipe)[:]
    for row in readable[looks["format"][readable] == b""]:  # again, to hear why
        try:
            look(read_file(files[row].path))
        except (RequestError, OSError) as error:
            complain(row, error)
    return looks, digests, problems


def _look_or_nothing(path: Path, digest: str) -> NDArray[np.void]:
    data = read_unchanged(path, digest)
    try:
        return look(data)
    except RequestError:  # of the content: the same whenever it is looked at
        return np.zeros((), LOOK)
