"""Finds the files of the pictures that a table names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from trainers.dataset.folders.filenames import is_hidden


def locate(paths: Sequence[str], folder: Path) -> list[Path | None]:
    """Return the file of each path; None if there is none.

    A path is relative to the folder of the table, or absolute. If there is no such file, a file of
    this name, with or without its suffix, anywhere below the folder is used, unless there are
    several. So tables work that were made elsewhere, and those that name pictures without a suffix.
    """
    files = [_existing(folder / path) for path in paths]
    if all(files):
        return files
    by_name = _index(folder)
    for position, path in enumerate(paths):
        if files[position] is None:
            found = by_name.get(PurePosixPath(path).name, [])
            files[position] = found[0] if len(found) == 1 else None
    return files


def _existing(path: Path) -> Path | None:
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # the name is too long, or has a character that no file can have
        return None


def _index(folder: Path) -> dict[str, list[Path]]:
    """Return all files below a folder, by name and by name without suffix."""
    index: dict[str, list[Path]] = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in files:
            path = Path(parent, name)
            for key in {path.name, path.stem}:
                index.setdefault(key, []).append(path)
    return index
