"""The champion of a name: the model that `trainers.promote` has chosen.

The file `.champion` in the folder of the name in BentoML's store has the version of the champion,
and then those of the champions before it, one per line. BentoML does not know this file. Its name
has a leading dot, because BentoML's commands would take a file `champion` for a damaged model.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from service.cli import command_lines
from service.errors import BundleError

FILE: Final = ".champion"
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MAX_VERSIONS: Final = 10
"""The file has at most this many versions; one cannot roll back to older ones."""


class NoChampion(BundleError):
    """A name has no champion, or no previous one, or it was deleted from the store."""


def name_of(reference: str) -> str | None:
    """Return the name in a tag `<name>:champion`; None if the reference is no such tag."""
    name, _, version = reference.partition(":")
    return name if version == "champion" else None


def read_versions(folder: Path) -> list[str]:
    """List the versions of the champion and of those before it; the list is empty if there is none.

    Args:
        folder: the folder of the name in BentoML's store.

    Raises:
        BundleError: the file is damaged.
        OSError: the file cannot be read.
    """
    path = folder / FILE
    try:
        versions = path.read_bytes().decode("utf-8", "replace").split()
    except FileNotFoundError:
        return []
    if not all(map(_VERSION.fullmatch, versions)):
        command = command_lines.python_command("trainers.promote")
        raise BundleError(
            f"{path} is damaged: delete it, and choose a champion again with `{command} MODEL`"
        )
    return versions


def current_version(folder: Path) -> str:
    """Return the version of the champion.

    Raises:
        NoChampion: there is no champion, or it was deleted from the store.
    """
    versions = read_versions(folder)
    command = command_lines.python_command("trainers.promote")
    if not versions:
        raise NoChampion(
            f"no model of the name {folder.name} is the champion yet: choose one with `{command} "
            f"MODEL`, or use {folder.name}:latest"
        )
    if not (folder / versions[0]).is_dir():
        raise NoChampion(
            f"{folder.name}:champion is {folder.name}:{versions[0]}, which was deleted from "
            f"BentoML's store: return to the champion before it with `{command} --rollback "
            f"{folder.name}`, or choose a new one with `{command} MODEL --over MODEL`"
        )
    return versions[0]


def put_first(folder: Path, version: str) -> str:
    """Return the content of the file after a version has become the champion.

    A version is listed only once. So a rollback does not return to a model that was rolled back.
    """
    others = [other for other in read_versions(folder) if other != version]
    return _format([version, *others[: MAX_VERSIONS - 1]])


def remove_first(folder: Path) -> str:
    """Return the content of the file after a rollback, without the champion and deleted models.

    Raises:
        NoChampion: there is no champion before the current one, or it was deleted from the store.
    """
    versions = read_versions(folder)
    earlier = [version for version in versions[1:] if (folder / version).is_dir()]
    if earlier:
        return _format(earlier)
    if not versions:
        raise NoChampion(
            f"there is nothing to roll back: no model of the name {folder.name} is the champion. "
            "`bentoml models list` shows the models"
        )
    reason = "those before it were deleted from" if versions[1:] else "no other was before it in"
    raise NoChampion(
        f"there is no champion to return to: {folder.name}:{versions[0]} is the champion, and "
        f"{reason} BentoML's store; `bentoml models list` shows the models. To choose one, run "
        f"`{command_lines.python_command('trainers.promote')} {folder.name}:VERSION`"
    )


def _format(versions: list[str]) -> str:
    return "".join(f"{version}\n" for version in versions)
