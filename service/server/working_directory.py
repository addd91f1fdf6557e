"""What the caller named by relative paths: workers stand in the service's folder, not in theirs."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from service.bundle.manifest import MANIFEST
from service.errors import SettingError
from service.system.resources import bentoml_home

_PATHS: Final = (
    "BENTOML_CONFIG",
    "BENTOML_HOME",
    "GRAFT_API_KEYS_FILE",
    "GRAFT_CACHE",
    "GRAFT_VERIFY_KEY",
)


def require_home() -> None:
    """Refuse to run where BentoML has just made a folder called ~ for want of a home folder.

    Raises:
        SettingError: neither BENTOML_HOME nor the user's home folder is there; the folder called ~
            is removed, where there is nothing in it.
    """
    try:
        bentoml_home()
    except SettingError:
        made = Path("~/bentoml")
        for folder in [*made.iterdir()] if made.is_dir() else []:
            with suppress(OSError):  # it holds something
                os.removedirs(folder)
        raise


def make_paths_absolute(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let workers find what the caller means; for their parent, before anything is looked up.

    GRAFT_MODEL is a path where it leads to a bundle now, and a tag otherwise. Links are kept:
    where they lead is looked up anew at each reload.
    """
    names = [*_PATHS]
    if (Path(environment.get("GRAFT_MODEL", "")) / MANIFEST).is_file():
        names.append("GRAFT_MODEL")
    for name in names:
        path = environment.get(name)
        if path and not path.startswith("~"):  # the home folder is the same for workers
            environment[name] = str(Path(path).absolute())
