"""Exclusive locks between processes; a lock ends with its process, whatever ends that.

The library filelock makes them: flock on Linux and macOS, its counterpart on Windows.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from service.errors import GraftError

_POLL_SECONDS = 0.01
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class NoLocksError(GraftError):
    """The file system of a folder has no locks; the message names the folder."""


@contextmanager
def locked(path: Path, wait: bool) -> Iterator[None]:
    """Hold the lock of a file; raises as `hold` does."""
    lock = hold(path, wait)
    try:
        yield
    finally:
        lock.release()


def hold(path: Path, wait: bool) -> BaseFileLock:
    """Lock a file until `release` of what is returned; the file and its folders are made where
    they are missing.

    Raises:
        BlockingIOError: somebody else holds it, and `wait` is False.
        NoLocksError: the file system has no locks.
        OSError: the file cannot be opened.
    """
    # No soft lock in its place: that one outlives a killed process.
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(blocking=wait, poll_interval=_POLL_SECONDS)
    except Timeout:
        raise BlockingIOError(errno.EWOULDBLOCK, "is locked", str(path)) from None
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        raise NoLocksError(
            f"the file system of {path.parent} has no file locks ({error.strerror}), by which runs "
            "at the same time keep out of each other's way: choose a folder on a local disk, or "
            "mount this one with locks (--output, GRAFT_CACHE and BENTOML_HOME name the folders)"
        ) from error
    return lock
