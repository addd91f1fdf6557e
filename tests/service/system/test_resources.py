from __future__ import annotations

import os
import platform
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import SettingError
from service.system.resources import (
    at_home,
    bentoml_home,
    cache_folder,
    cgroup_cores,
    processor_name,
    usable_cores,
)


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


def test_the_cache_is_where_the_user_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("GRAFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/graft")


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME whom /etc/passwd does not know, and no settings."""
    for name in ("HOME", "GRAFT_CACHE", "XDG_CACHE_HOME", "BENTOML_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_the_setting_in_its_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match=r"has no home folder.*set GRAFT_CACHE, or HOME"):
        cache_folder()
    with pytest.raises(SettingError, match=r"has no home folder.*set BENTOML_HOME, or HOME"):
        bentoml_home()
    for name in ("GRAFT_CACHE", "BENTOML_HOME"):
        monkeypatch.setenv(name, "~/here")
        with pytest.raises(SettingError, match=f"^~/here: .*set {name}, or HOME, to a folder"):
            cache_folder() if name == "GRAFT_CACHE" else bentoml_home()
        monkeypatch.setenv(name, "/here")
    assert (cache_folder(), bentoml_home()) == (Path("/here"), Path("/here"))


def test_a_home_that_is_no_place_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # ignored, as the specification has it
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/graft")
    monkeypatch.setenv("HOME", "here")
    with pytest.raises(SettingError, match="set GRAFT_CACHE"):
        cache_folder()


def test_no_folder_is_ever_called_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for name in ("GRAFT_CACHE", "BENTOML_HOME"):
        monkeypatch.setenv(name, "~/here")
    assert cache_folder() == bentoml_home() == Path("/home/somebody/here")
    monkeypatch.delenv("BENTOML_HOME")
    assert bentoml_home() == Path("/home/somebody/bentoml")
    monkeypatch.setenv("BENTOML_HOME", "")  # BentoML would take the current folder
    with pytest.raises(SettingError, match="BENTOML_HOME is empty"):
        bentoml_home()


def test_a_folder_whose_name_begins_with_a_tilde_is_left_alone() -> None:
    assert at_home("~nobody-of-that-name/x", "HOME") == Path("~nobody-of-that-name/x")
    assert at_home("a/~", "HOME") == Path("a/~")


MAPPED = """
import ctypes
from service.system.resources import give_large_memory_back
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def is_mapped(size):
    place = libc.malloc(size)
    mark = ctypes.c_size_t.from_address(place - ctypes.sizeof(ctypes.c_size_t)).value & 2
    libc.free(place)
    return bool(mark)
is_mapped(30_000_000)  # once it was freed, glibc keeps what is as large
print(is_mapped(5_000_000))
give_large_memory_back()
print(is_mapped(20_000_000), is_mapped(100_000))  # the first 5 MB are free and would do for 5
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_memory_goes_back_to_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAPPED], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True", "False"]
