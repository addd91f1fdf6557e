"""Finds the files of the pictures that a table names."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from trainers.dataset.folders.entries import list_entries
from trainers.dataset.tables import downloading
from trainers.dataset.tables.uris import is_uri, local_path
from trainers.progress import Progress

MAX_NAMED = 3
"""A message names at most this many files that match a path."""


def locate(paths: Sequence[str], folder: Path, progress: Progress) -> list[Path | str]:
    """Return the file of each path, or why there is none, as the end of a sentence.

    The picture of a URI is downloaded, unless the cache has it.

    A path is relative to the folder of the table, or absolute. If no path of the table has a file,
    because the table was made elsewhere, a picture below the folder is used whose path is the end
    of the table's path: /old/disk/cats/1.jpg is the file cats/1.jpg. If some paths have files, the
    others are missing pictures, even if there is one of the same name in another folder. Folders
    and the suffix may be left out in a table in any case: 1 and 1.jpg are the file cats/1.jpg, if
    no other picture is called 1.
    """
    failures = downloading.download([path for path in paths if is_uri(path)], progress)
    files: list[Path | str] = [
        failures.get(path, "") or local_path(path)
        if is_uri(path)
        else _existing(folder / path) or "does not exist"
        for path in paths
    ]
    missing = [
        position
        for position, (path, file) in enumerate(zip(paths, files, strict=True))
        if isinstance(file, str) and not is_uri(path)
    ]
    if missing:
        is_moved = not any(isinstance(file, Path) for file in files)
        index = _index(folder)
        for position in missing:
            path = paths[position]
            found = _matching(path, index, is_moved)
            if len(found) == 1:
                files[position] = folder / found[0]
            elif found:
                names = ", ".join(str(name) for name in found[:MAX_NAMED])
                files[position] = f"may be any of {len(found)} pictures: {names}"
    return files


def _existing(path: Path) -> Path | None:
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # the name is too long, or has a character that no file can have
        return None


def _index(folder: Path) -> dict[str, list[PurePosixPath]]:
    """Return the relative paths of the pictures below a folder, by name, with and without suffix.

    Folders that a training run would not enter, such as bundles, are left out.
    """
    index: dict[str, list[PurePosixPath]] = {}
    for entry in list_entries(folder):
        if entry.is_picture and not entry.rejection:
            path = PurePosixPath(*entry.parts)
            for key in {_key(path.name), _key(path.stem)}:
                index.setdefault(key, []).append(path)
    return index


def _key(name: str) -> str:
    """Return a form of a name that is the same for all Unicode forms of its accents."""
    return unicodedata.normalize("NFC", name)


def _matching(
    path: str, index: dict[str, list[PurePosixPath]], is_moved: bool
) -> list[PurePosixPath]:
    """Return the pictures whose path ends with `path`; if the table was moved, also is its end."""
    wanted = tuple(map(_key, PurePosixPath(path).parts))
    found = []
    for picture in index.get(wanted[-1], []) if wanted else []:
        # The suffix may be missing in the table, so the last part is not compared.
        parts = (*map(_key, picture.parts[:-1]), wanted[-1])
        count = min(len(parts), len(wanted))
        if count < len(wanted) and not is_moved:
            continue
        if parts[-count:] == wanted[-count:]:
            found.append(picture)
    return found
