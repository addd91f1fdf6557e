"""Hashes picture files with SHA-256. Results computed from a file are cached under its digest."""

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
"""Largest size of a picture file. Larger files are left out, because each thread reads a whole file
into memory."""
SETTLED_NS = 2_000_000_000
"""Files that changed less than this number of nanoseconds ago are hashed in every run, because a
further change could leave the same modification time. The file system FAT has the coarsest clock,
with steps of 2 s."""
_STATE_FIELDS = "path, size, mtime, ctime and inode"


def hash_files(
    paths: Sequence[Path], on_error: Callable[[int, Exception], None], cache: Cache
) -> list[str]:
    """Return the SHA-256 of every file, in hexadecimal; "" for an unreadable or too large file.

    The digest of a file is cached until its path, size, inode, mtime or ctime changes. (Programs
    may set the mtime of a file back, but not its ctime.)

    Args:
        paths: the files, in order.
        on_error: called for each file without a digest, with its position in `paths` and its error.
            Calls come from several threads.
        cache: keeps the digests.
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
    """Return a hash that changes when the file changes.

    Return None if the size and the times cannot be read, or if the file changed so recently that
    another change could leave the same times.
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
    except (RequestError, OSError):  # perhaps temporary: `hash_files` reads the file again
        return np.zeros(32, np.uint8)


def read_unchanged(path: Path, digest: str) -> bytes:
    """Read a picture, and check that it still has this SHA-256 digest.

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
        f"{path} was changed after the folder was read{reason}: wait until no program writes to "
        "the folder, then run the command again"
    )


def read_file(path: Path) -> bytes:
    """Read a picture.

    Raises:
        OSError: the file cannot be read.
        PayloadTooLarge: the file is larger than MAX_FILE_BYTES.
    """
    size_bytes = path.stat().st_size
    if size_bytes > MAX_FILE_BYTES:
        raise PayloadTooLarge(
            f"has {size_bytes:,} bytes, more than the limit of {MAX_FILE_BYTES:,} bytes"
        )
    # Empty files are not opened: files in /proc have size 0 too, and reading them may never end.
    return path.read_bytes() if size_bytes else b""
