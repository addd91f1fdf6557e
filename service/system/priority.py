"""The priority of a process when processors or memory are scarce; only Linux has all of these."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_LAST = {"autogroup": "19", "oom_score_adj": "1000"}
_NORMAL = {"autogroup": "0", "oom_score_adj": "0"}


def put_last(process_id: int) -> None:
    """Let all other processes go first: for a processor, and to survive if memory runs out.

    On a desktop or in a login shell, Linux first divides processor time among sessions (autogroup).
    So the process should be in a session of its own. What the system does not support or allow is
    left out.

    Args:
        process_id: id of a process that computes in its main thread.
    """
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(process_id, os.SCHED_IDLE, os.sched_param(0))
    _write(process_id, _LAST)


def put_back(process_id: int) -> None:
    """Undo `put_last`, for example because a process also needs processor time to end."""
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(process_id, os.SCHED_OTHER, os.sched_param(0))
    _write(process_id, _NORMAL)


def _write(process_id: int, values: dict[str, str]) -> None:
    for name, value in values.items():
        with suppress(OSError):
            Path(f"/proc/{process_id}", name).write_text(value, encoding="ascii")
