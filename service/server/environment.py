"""Environment variables that the parent prepares for its workers, which run in another folder."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from service.bundle.manifest import MANIFEST
from service.errors import SettingError
from service.system.folders import bentoml_home

_PATH_VARIABLES: Final = (
    "BENTOML_CONFIG",
    "BENTOML_HOME",
    "GRAFT_API_KEYS_FILE",
    "GRAFT_CACHE",
    "GRAFT_VERIFY_KEY",
)


def require_home() -> None:
    """Check that BentoML has a home folder.

    Raises:
        SettingError: neither BENTOML_HOME nor the user's home folder exists. The folder called `~`
            that BentoML has just created is removed if it is empty.
    """
    try:
        bentoml_home()
    except SettingError:
        created = Path("~/bentoml")
        for folder in [*created.iterdir()] if created.is_dir() else []:
            with suppress(OSError):  # it is not empty
                os.removedirs(folder)
        raise


def make_paths_absolute(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make relative paths in variables absolute; for the parent, before it uses any of them.

    GRAFT_MODEL is a path if it leads to a bundle now, and a tag otherwise. Symbolic links are kept:
    each reload follows them again.
    """
    names = [*_PATH_VARIABLES]
    if (Path(environment.get("GRAFT_MODEL", "")) / MANIFEST).is_file():
        names.append("GRAFT_MODEL")
    for name in names:
        path = environment.get(name)
        if path and not path.startswith("~"):  # workers have the same home folder
            environment[name] = str(Path(path).absolute())
