"""Processor and memory of the machine, as far as this process may use them."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
"""The number of this option in glibc's <malloc.h>."""
_LARGE_BYTES: Final = 4 * 1024 * 1024


def usable_cores() -> int:
    """Return the number of cores of this process: its affinity, up to its container's limit.

    Libraries that count the host's cores would start a thread for each, whatever the limit.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = cgroup_cores(Path("/sys/fs/cgroup"))
    return max(1, min(cores or 1, limit or cores or 1))


def cgroup_cores(root: Path) -> int | None:
    """Return the processor limit of this container in whole cores, rounded up; None = no limit."""
    try:
        quota, period = (root / "cpu.max").read_text(encoding="ascii").split()  # cgroup v2
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii").strip()  # cgroup v1
            period = (root / "cpu/cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or not int(quota):  # "max" or -1: no limit
        return None
    return -(-int(quota) // int(period))


def processor_name() -> str:
    """Return the model of the processor, or what Python knows about it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def release_large_memory() -> None:
    """Make glibc return freed blocks of 4 MiB and more to the system, which it would keep."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
