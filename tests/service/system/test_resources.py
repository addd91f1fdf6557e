from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from service.system.resources import cgroup_cores, processor_name, usable_cores


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "broken"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_limit_of_the_container_is_read_in_whole_cores(
    tmp_path: Path, files: dict[str, str], cores: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cgroup_cores(tmp_path) == cores


def test_usable_cores_are_at_most_the_cores_of_this_process() -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))


def test_processor_has_a_name() -> None:
    assert processor_name()


MALLOC_SCRIPT = """
import ctypes
from service.system.resources import release_large_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def is_mapped(size):
    address = libc.malloc(size)
    mark = ctypes.c_size_t.from_address(address - ctypes.sizeof(ctypes.c_size_t)).value & 2
    libc.free(address)
    return bool(mark)
is_mapped(30_000_000)  # once freed, glibc keeps blocks of this size
print(is_mapped(5_000_000))
release_large_memory()
print(is_mapped(20_000_000), is_mapped(100_000))  # the 5 MB are free already
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_memory_goes_back_to_the_system() -> None:
    completed = subprocess.run(
        [sys.executable, "-c", MALLOC_SCRIPT], capture_output=True, text=True, check=True
    )
    assert completed.stdout.split() == ["False", "True", "False"]
