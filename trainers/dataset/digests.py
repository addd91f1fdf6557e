"""SHA-256 digests of picture files; they are the cache keys of everything made from a picture."""

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
from trainers.dataset.folders.errors import DataError

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Larger files are refused: each thread reads a whole file into memory."""
SETTLED_NS = 2_000_000_000
"""Files changed within this time, in nanoseconds, are hashed again: a second change could leave the
same times. FAT has the coarsest clock, with steps of 2 s."""
_STATE_FIELDS = "path, size, mtime, ctime and inode"


def hash_files(
    paths: Sequence[Path], on_error: Callable[[int, Exception], None], cache: Cache
) -> list[str]:
    """SHA-256 of every file, in hexadecimal; "" for a file that cannot be read.

    A file is read once, and again when its path, size, inode or times change. The ctime counts
    because programs may set a file's mtime back, but not its ctime.

    Args:
        on_error: called with the row and the error of each file that cannot be read.
    """
    now = time.time_ns()
    digests = np.zeros((len(paths), 32), np.uint8)
    states = [_file_state(path, now) for path in paths]
    settled = np.flatnonzero([state is not None for state in states])

    def make(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([_hash_or_zeros(paths[row]) for row in settled[positions]])

    keys = [state for state in states if state is not None]
    recipe = Recipe((32,), np.uint8, make)
    digests[settled] = cache.get_or_create("digests", _STATE_FIELDS, keys, lambda: recipe)[:]

    def hash_again(row: int) -> None:
        try:
            digests[row] = _hash_file(paths[row])
        except (RequestError, OSError) as error:
            on_error(row, error)

    if missing := np.flatnonzero(~digests.any(axis=1)).tolist():
        with ThreadPoolExecutor(usable_cores()) as threads:
            results = threads.map(hash_again, missing)
            list(cache.progress.track(results, len(missing), "digests"))
    return [row.tobytes().hex() if row.any() else "" for row in digests]


def _file_state(path: Path, now: int) -> bytes | None:
    """A hash that changes when the file does.

    None where no hash would: the file cannot be examined, or it changed so recently that the clock
    of its file system might miss the next change.
    """
    try:
        stat = path.stat()
    except OSError:
        return None
    if max(stat.st_mtime_ns, stat.st_ctime_ns) > now - SETTLED_NS:
        return None
    times = (stat.st_mtime_ns, stat.st_ctime_ns)
    fields = (os.fspath(path.absolute()), stat.st_size, *times, stat.st_ino)
    return hashlib.sha256(repr(fields).encode()).digest()


def _hash_file(path: Path) -> NDArray[np.uint8]:
    return np.frombuffer(hashlib.sha256(read_file(path)).digest(), np.uint8)


def _hash_or_zeros(path: Path) -> NDArray[np.uint8]:
    try:
        return _hash_file(path)
    except (RequestError, OSError):  # perhaps temporary: zeros are hashed again
        return np.zeros(32, np.uint8)


def read_unchanged(path: Path, digest: str) -> bytes:
    """Read a picture whose SHA-256 is known.

    Raises:
        DataError: the file has changed, or can no longer be read.
    """
    reason = ""
    try:
        data = read_file(path)
        if hashlib.sha256(data).hexdigest() == digest:
            return data
    except (RequestError, OSError) as error:
        reason = f" ({error})"
    raise DataError(
        f"{path} changed while the folder was read{reason}: run again when nothing writes to the "
        "folder any more"
    )


def read_file(path: Path) -> bytes:
    """Read a picture.

    Raises:
        OSError: the file cannot be read.
        PayloadTooLarge: it is larger than MAX_FILE_BYTES.
    """
    size_bytes = path.stat().st_size
    if size_bytes > MAX_FILE_BYTES:
        raise PayloadTooLarge(f"has {size_bytes:,} bytes: larger than any picture")
    # Files in /proc have size 0 as well, and reading them may block for ever.
    return path.read_bytes() if size_bytes else b""
