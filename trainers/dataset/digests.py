"""Bytes of picture files and their SHA-256, which decides where everything made of them is kept."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import PayloadTooLarge, RequestError
from service.system.resources import usable_cores
from trainers.cache.array_cache import Cache, Recipe
from trainers.dataset.scanning import DataError

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Files are read whole, one per thread."""
SETTLED_NS = 2_000_000_000
"""Files changed more recently than this are read again: a second change could leave their
times the same. The coarsest clock of a file system, FAT's, has steps of 2 s."""
_KEPT_BY = "path, size, mtime, ctime and inode"


def of_files(
    paths: Sequence[Path], complain: Callable[[int, Exception], None], cache: Cache
) -> list[str]:
    """SHA-256 of every file, "" where it cannot be read, and why by row to `complain`.

    A file is read once, and again when its path, size, inode or times are others. A program may set
    a file's mtime back, but not its ctime.
    """
    now = time.time_ns()
    digests = np.zeros((len(paths), 32), np.uint8)
    states = [_state(path, now) for path in paths]
    settled = np.flatnonzero([state is not None for state in states])

    def make(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([_digest_or_zeros(paths[row]) for row in settled[positions]])

    keys = [state for state in states if state is not None]
    recipe = Recipe((32,), np.uint8, make)
    digests[settled] = cache.fill("digests", _KEPT_BY, keys, lambda: recipe)[:]

    def read_again(row: int) -> None:
        try:
            digests[row] = np.frombuffer(hashlib.sha256(read_file(paths[row])).digest(), np.uint8)
        except (RequestError, OSError) as error:
            complain(row, error)

    if rest := np.flatnonzero(~digests.any(axis=1)).tolist():
        with ThreadPoolExecutor(usable_cores()) as threads:
            done = threads.map(read_again, rest)
            list(cache.progress.track(done, len(rest), "digests"))
    return [row.tobytes().hex() if row.any() else "" for row in digests]


def _state(path: Path, now: int) -> bytes | None:
    """A hash of what tells a file from itself after a change; None where nothing does: it cannot
    be looked at, or changed so lately that its clock might not show the next change."""
    try:
        found = path.stat()
    except OSError:
        return None
    if max(found.st_mtime_ns, found.st_ctime_ns) > now - SETTLED_NS:
        return None
    times = (found.st_mtime_ns, found.st_ctime_ns)
    parts = (os.fspath(path.absolute()), found.st_size, *times, found.st_ino)
    return hashlib.sha256(repr(parts).encode()).digest()


def _digest_or_zeros(path: Path) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(hashlib.sha256(read_file(path)).digest(), np.uint8)
    except (RequestError, OSError):  # which may be over next time: it is tried again
        return np.zeros(32, np.uint8)


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
