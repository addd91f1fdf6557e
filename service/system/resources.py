"""Cores that this process may use, the name of the processor, and the release of memory."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
"""The number of the option M_MMAP_THRESHOLD of `mallopt`, from glibc's <malloc.h>."""
_LARGE_BYTES: Final = 4 * 1024 * 1024


def usable_cores() -> int:
    """Return the number of cores that this process may use.

    CPU affinity or the CPU limit of the container may allow fewer cores than the host has. Many
    libraries ignore this and start a thread for each core of the host.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = cgroup_cores(Path("/sys/fs/cgroup"))
    return max(1, min(cores or 1, limit or cores or 1))


def cgroup_cores(root: Path) -> int | None:
    """Return the CPU limit of this container in cores, rounded up; None = no limit was found.

    Args:
        root: the folder where cgroups are mounted.
    """
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
    """Return the model name of the processor, from /proc/cpuinfo if it exists; "" = unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def release_large_memory() -> None:
    """Make glibc return freed blocks of 4 MiB and more to the system instead of keeping them."""
    with suppress(AttributeError, OSError, TypeError):  # the C library is not glibc
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
