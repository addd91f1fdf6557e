"""Exit codes of the commands, and the errors of the operating system that a user can fix."""

from __future__ import annotations

import errno

BUG, WRONG_USE = 1, 2
STOPPED = 75
"""Exit code of a run that was stopped and can be resumed: EX_TEMPFAIL of sysexits.h."""
_FIXABLE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP),
}


def is_fixable(error: OSError) -> bool:
    """Whether a user can fix the error, for example by freeing disk space."""
    return error.errno in _FIXABLE
