"""Exit codes of the commands, and which errors of the operating system are the user's to fix."""

from __future__ import annotations

import errno

BUG, WRONG_USE = 1, 2
STOPPED = 75
"""EX_TEMPFAIL of sysexits.h: a run was stopped and can be resumed."""
_FIXABLE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP),
}


def is_fixable(error: OSError) -> bool:
    """Whether the user can do something about it, such as making room or naming another folder."""
    return error.errno in _FIXABLE
