"""Prepare environment variables for the workers, in the parent process.

Workers run in a different working directory, so paths in variables must be absolute.
"""

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

    Without a home folder, BentoML creates a folder named `~` in the working directory. In that
    case, this function removes the folder, unless it contains files, and raises an error.

    Raises:
        SettingError: BENTOML_HOME is empty, or BentoML's home depends on the user's home folder,
            which is unknown.
    """
    try:
        bentoml_home()
    except SettingError:
        created = Path("~/bentoml")
        for folder in [*created.iterdir()] if created.is_dir() else []:
            with suppress(OSError):  # keep a folder that is not empty
                os.removedirs(folder)
        raise


def make_paths_absolute(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make relative paths in environment variables absolute.

    Call this in the parent process before any of the variables is used. GRAFT_MODEL and
    GRAFT_SHADOW are treated as a path if a bundle exists at this path, and as a tag otherwise.
    Paths that start with ~ are not changed. Symbolic links are not resolved, so each reload follows
    them again.
    """
    bundles = [
        name
        for name in ("GRAFT_MODEL", "GRAFT_SHADOW")
        if _is_bundle(Path(environment.get(name, "")))
    ]
    for name in (*_PATH_VARIABLES, *bundles):
        path = environment.get(name)
        if path and not path.startswith("~"):  # workers have the same home folder
            environment[name] = str(Path(path).absolute())


def _is_bundle(path: Path) -> bool:
    try:
        return (path / MANIFEST).is_file()
    except OSError:  # no permission, or a name that is too long; loading the bundle reports it
        return False
