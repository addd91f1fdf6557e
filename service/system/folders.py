"""Folders of the user: the home folder, Graft's cache, and BentoML's home."""

from __future__ import annotations

import os
from pathlib import Path

from service.errors import SettingError


def cache_folder() -> Path:
    """Return GRAFT_CACHE, or `graft` in the user's cache folder (XDG), as an absolute path.

    Raises:
        SettingError: the path depends on the home folder, but the user has none.
    """
    if path := os.environ.get("GRAFT_CACHE"):
        return expand_home(path, "GRAFT_CACHE").absolute()
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():  # XDG's specification says to ignore relative paths
        caches = expand_home("~/.cache", "GRAFT_CACHE")
    return caches / "graft"


def bentoml_home() -> Path:
    """Return BENTOML_HOME, or `bentoml` in the user's home folder, as an absolute path.

    Raises:
        SettingError: BENTOML_HOME is empty, or the path depends on the home folder, but the user
            has none. In these cases, BentoML itself would use the current folder, or a folder that
            is called `~` inside it.
    """
    path = os.environ.get("BENTOML_HOME", "~/bentoml")
    if not path:
        raise SettingError("BENTOML_HOME is empty: set it to a folder, or unset it")
    return expand_home(path, "BENTOML_HOME").absolute()


def expand_home(path: str, name: str) -> Path:
    """Replace a leading ~ of a path with the user's home folder.

    Args:
        path: the value of an environment variable, or its default.
        name: the name of that variable, for the error message.

    Raises:
        SettingError: the path starts with ~, but the user has no home folder: neither HOME nor
            /etc/passwd names one.
    """
    expanded = Path(os.path.expanduser(path))  # noqa: PTH111 - leaves a folder called ~name alone
    if expanded.is_absolute() or path.partition("/")[0] != "~":
        return expanded
    names = "HOME" if name == "HOME" else f"{name}, or HOME,"
    raise SettingError(
        f"{path} cannot be used, because this user ({_user()}) has no home folder: neither HOME "
        f"nor /etc/passwd names one; set {names} to a folder that this user can write to "
        "(GRAFT_CACHE and BENTOML_HOME are inside HOME by default)"
    )


def _user() -> str:
    return f"user id {os.getuid()}" if hasattr(os, "getuid") else "unknown"
