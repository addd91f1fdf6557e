"""Inspects every file once: format, mode, size, and a thumbnail that shows duplicates.

An inspection depends on the file's bytes alone, not on the model's input size, so neither splits
nor findings change with the backbone.
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
from trainers.dataset.digests import hash_files, read_file, read_unchanged
from trainers.dataset.folders.sniffing import explain_error
from trainers.dataset.scanning import LeftOut, PictureFile

THUMBNAIL_SIZE = 32
"""Side of a thumbnail, in pixels."""
_DECODED_SIZE = 2 * THUMBNAIL_SIZE
_MAX_BLANK_RANGE = 2
"""Largest difference between two pixels of one channel in a picture of one colour: JPEG noise."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's gray

INSPECTION = np.dtype(
    [
        ("format", "S4"),  # the name of its kind: JPEG, PNG, ...
        ("mode", "S8"),  # of Pillow: RGB, L, CMYK, P, ...
        ("bits", np.uint8),  # per sample, 1 to 16
        ("significant_bits", np.uint8),  # that its values use; at least 8
        ("is_blank", np.bool_),  # of one colour everywhere, once decoded
        ("is_transparent", np.bool_),
        ("frames", np.uint32),
        ("orientation", np.uint8),  # of EXIF: 1 is upright
        ("width", np.uint32),  # in pixels, as stored: before EXIF turns it
        ("height", np.uint32),
        ("thumbnail", np.uint8, (THUMBNAIL_SIZE, THUMBNAIL_SIZE)),  # gray, upright, stretched
    ]
)
"""A record per picture, of fixed size, so that it fits the cache and NumPy arrays."""


def inspect_picture(data: bytes) -> NDArray[np.void]:
    """Decode a whole picture and describe it.

    Returns:
        A record () of INSPECTION.

    Raises:
        RequestError: it is no picture, damaged, cut short or too large; the message is that of the
            service.
    """
    picture = inspect(data, _DECODED_SIZE)
    header, gray = picture.header, picture.pixels.astype(np.float32) @ _LUMA
    record = np.zeros((), INSPECTION)
    record["format"], record["mode"], record["bits"] = header.format, header.mode, header.bits
    record["significant_bits"] = picture.significant_bits
    record["is_blank"] = np.ptp(picture.pixels, axis=(0, 1)).max() <= _MAX_BLANK_RANGE
    record["is_transparent"], record["frames"] = header.is_transparent, header.frames
    record["orientation"] = header.orientation
    record["width"], record["height"] = header.width, header.height
    blocks = gray.reshape(THUMBNAIL_SIZE, 2, THUMBNAIL_SIZE, 2)
    record["thumbnail"] = blocks.mean((1, 3)).round()
    return record


def inspect_files(
    files: Sequence[PictureFile], cache: Cache
) -> tuple[NDArray[np.void], list[str], dict[int, LeftOut]]:
    """Inspect files in threads, each once as long as its bytes stay the same.

    Returns:
        inspections (N,) of INSPECTION, SHA-256 digests (N), and problems by row; the inspection of
        a row with a problem is all zeros.
    """
    inspections = np.zeros(len(files), INSPECTION)
    problems: dict[int, LeftOut] = {}

    def report(row: int, error: Exception) -> None:
        kind, reason = explain_error(files[row].path, error)
        problems[row] = LeftOut(files[row].name, reason, kind)

    digests = hash_files([file.path for file in files], report, cache)
    hashed = np.array([row for row, digest in enumerate(digests) if digest], np.int64)

    def make(positions: NDArray[np.int64]) -> NDArray[np.void]:
        return np.stack(
            [_inspect_or_zeros(files[row].path, digests[row]) for row in hashed[positions]]
        )

    keys = [bytes.fromhex(digests[row]) for row in hashed]
    recipe = Recipe((), INSPECTION, make)
    code = code_identity.identity(__name__)
    inspections[hashed] = cache.get_or_create("looks", code, keys, lambda: recipe)[:]
    for row in hashed[inspections["format"][hashed] == b""]:  # again, to learn the reason
        try:
            inspect_picture(read_file(files[row].path))
        except (RequestError, OSError) as error:
            report(row, error)
    return inspections, digests, problems


def _inspect_or_zeros(path: Path, digest: str) -> NDArray[np.void]:
    data = read_unchanged(path, digest)
    try:
        return inspect_picture(data)
    except RequestError:  # because of the content: it fails whenever it is inspected
        return np.zeros((), INSPECTION)
