"""What this process may use of the machine: cores, and a folder for what can be made again."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def usable_cores() -> int:
    """Processor cores this process may use: its affinity, capped by its container's limit.

    Libraries that count the host's cores would start a thread for each, whatever the limit.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = cgroup_cores(Path("/sys/fs/cgroup"))
    return max(1, min(cores or 1, limit or cores or 1))


def cgroup_cores(root: Path) -> int | None:
    """The processor limit of this container in whole cores, rounded up; None without one."""
    try:
        quota, period = (root / "cpu.max").read_text().split()  # cgroup v2
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()  # cgroup v1
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or not int(quota):  # "max" or -1: no limit
        return None
    return -(-int(quota) // int(period))


def cache_folder() -> Path:
    """GRAFT_CACHE, or `graft` in the user's cache folder (XDG)."""
    if given := os.environ.get("GRAFT_CACHE"):
        return Path(given)  # without a look at the home that a container's user may not have
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graft"


def processor_name() -> str:
    """The processor's model, as well as it is known."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
