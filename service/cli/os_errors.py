"""Explains errors of the operating system, such as a full disk, to the users of the commands."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

_FULL: Final = "free some space on the disk that is written to, or write to another disk"
_FORBIDDEN: Final = "give this user access to the file or folder, or choose another path"
_REMEDIES: Final[Mapping[int | None, str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: "choose a path on a disk that can be written",
    errno.ENOENT: "check the path",
    errno.EEXIST: "choose another path",
    errno.EISDIR: "name a file, not a folder",
    errno.ELOOP: "remove the symbolic link that leads back to itself",
    errno.ENOTDIR: "a part of the path is a file: choose another path",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def is_fixable(error: OSError) -> bool:
    """Whether a user can fix the error, for example by freeing disk space."""
    return error.errno in _REMEDIES


def explain_error(error: Exception) -> str:
    """Return the text that a command prints for an error.

    Graft's own errors already say what to do. For an error of the operating system, the text names
    the reason and, if they are known, the file and a remedy.
    """
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    reason = error.strerror[:1].lower() + error.strerror[1:]
    remedy = _REMEDIES.get(error.errno)
    return f"{where}{reason}; {remedy}" if remedy else f"{where}{reason}"
