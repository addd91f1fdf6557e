"""Exclusive file locks between processes; a lock is released when its process ends or crashes.

The library filelock provides them: flock on Linux and macOS, and its counterpart on Windows.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import BaseFileLock, FileLock, Timeout

from service.errors import GraftError

_POLL_SECONDS: Final = 0.01
_NO_LOCKS_ERRNOS: Final = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class NoLocksError(GraftError):
    """The file system of a folder does not support file locks; the message names the folder."""


@contextmanager
def file_lock(path: Path, wait: bool) -> Iterator[None]:
    """Hold the lock of a file until the `with` block ends; raise the errors of `acquire_lock`."""
    lock = acquire_lock(path, wait)
    try:
        yield
    finally:
        lock.release()


def acquire_lock(path: Path, wait: bool) -> BaseFileLock:
    """Lock a file until `release` of the returned lock is called; create the file if it is missing.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is False.
        NoLocksError: the file system does not support file locks.
        OSError: the file cannot be opened.
    """
    # Do not fall back to filelock's soft lock: it would outlive a killed process.
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(blocking=wait, poll_interval=_POLL_SECONDS)
    except Timeout:
        raise BlockingIOError(errno.EWOULDBLOCK, "locked by another process", str(path)) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS_ERRNOS:
            raise
        raise NoLocksError(
            f"the file system of {path.parent} has no file locks ({error.strerror}), which Graft "
            "needs to keep concurrent runs apart; choose a folder on a local disk with --output, "
            "GRAFT_CACHE or BENTOML_HOME, or mount this file system with support for locks"
        ) from error
    return lock
