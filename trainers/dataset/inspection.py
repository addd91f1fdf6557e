"""Inspects every file once: format, mode, size, and a thumbnail for the search for duplicates.

An inspection depends only on the bytes of the file, not on the input size of the model. So neither
the groups of duplicates nor the splits depend on the backbone, which determines that size. Only the
findings `too_small` and `odd_size` do.
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
from trainers.dataset.folders.scan import LeftOut, PictureFile
from trainers.dataset.folders.sniffing import explain_error

THUMBNAIL_SIZE = 32
"""Side of a thumbnail, in pixels."""
_DECODED_SIZE = 2 * THUMBNAIL_SIZE
_MAX_BLANK_RANGE = 2
"""A picture counts as a single colour if the values (0 to 255) of each channel differ by at most
this number. JPEG compression adds such noise."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in Pillow's mode L

INSPECTION = np.dtype(
    [
        ("format", "S4"),  # JPEG, PNG, ...
        ("mode", "S8"),  # Pillow's mode: RGB, L, CMYK, P, ...
        ("bits", np.uint8),  # per sample, 1 to 16
        ("significant_bits", np.uint8),  # number of bits that the values use, at least 8
        ("is_blank", np.bool_),  # whether all decoded pixels have (almost) the same colour
        ("is_transparent", np.bool_),
        ("frames", np.uint32),
        ("orientation", np.uint8),  # EXIF orientation; 1 is upright
        ("width", np.uint32),  # in pixels, as stored, before the EXIF orientation is applied
        ("height", np.uint32),
        ("thumbnail", np.uint8, (THUMBNAIL_SIZE, THUMBNAIL_SIZE)),  # gray, upright, square
    ]
)
"""Data type of an inspection. Its size is fixed, so that inspections fit in arrays and the cache.
"""


def inspect_picture(data: bytes) -> NDArray[np.void]:
    """Decode a whole picture and describe it.

    Returns:
        One record of INSPECTION, of shape ().

    Raises:
        RequestError: the data is not a picture, or the picture is damaged, cut short or too large.
            The message is the same as in a response of the service.
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
    """Inspect files in threads; the inspection of a file is cached until its bytes change.

    Returns:
        N records of INSPECTION; N SHA-256 digests in hexadecimal, "" for unreadable files; and the
        problems: position of the file in `files` -> reason. The record of a file with a problem is
        all zeros.

    Raises:
        DataError: a file was changed between its hashing and its inspection.
        CacheError: the cache cannot be written.
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
    # "looks" is the name of the stores of inspections in existing caches.
    inspections[hashed] = cache.get_or_create("looks", code, keys, lambda: recipe)[:]
    for row in hashed[inspections["format"][hashed] == b""]:  # inspected again to get the error
        try:
            inspect_picture(read_file(files[row].path))
        except (RequestError, OSError) as error:
            report(row, error)
    return inspections, digests, problems


def _inspect_or_zeros(path: Path, digest: str) -> NDArray[np.void]:
    data = read_unchanged(path, digest)
    try:
        return inspect_picture(data)
    except RequestError:  # the content is at fault, so the result can be cached
        return np.zeros((), INSPECTION)
