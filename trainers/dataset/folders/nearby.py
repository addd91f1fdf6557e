"""The folder that was meant, where another was named: its parent, or one of a like name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from service.cli.arguments import closest
from trainers.dataset.folders.contents import is_meant_as_picture

_MOST_LOOKED_AT = 1000
"""Entries of a folder; a hint is not worth reading a slow disk's millions."""


def meant(folder: Path) -> str:
    """A sentence with what to type in place of a folder that cannot be used; "" without an idea."""
    if not folder.exists():
        close = closest(folder.name, [one.name for one in _folders(folder.parent)])
        return f". Did you mean --data {_typed(folder.parent / close)}?" if close else ""
    if _holds_pictures(folder) and _holds_classes(folder / os.pardir):
        parent = os.path.normpath(folder / os.pardir)
        return (
            f". This looks like the folder of one class; name the one that it lies in: "
            f"--data {_typed(parent)}"
        )
    return ""


def here() -> str:
    """What to type where no folder was named, and the pictures lie all around; "" elsewhere."""
    if _holds_classes(Path()):
        return "; for the pictures here type --data ."
    if _holds_pictures(Path()) and _holds_classes(Path(os.pardir)):
        return "; for the pictures here and beside them type --data .."
    return ""


def _holds_classes(folder: Path) -> bool:
    return sum(map(_holds_pictures, _folders(folder))) > 1


def _holds_pictures(folder: Path) -> bool:
    """Whether pictures lie directly in it."""
    return any(is_meant_as_picture(path.name) and path.is_file() for path in _entries(folder))


def _folders(folder: Path) -> list[Path]:
    return [one for one in _entries(folder) if one.is_dir() and not one.name.startswith(".")]


def _entries(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as found:
            for _, entry in zip(range(_MOST_LOOKED_AT), found, strict=False):
                yield folder / entry.name
    except OSError:
        return


def _typed(path: str | Path) -> str:
    return shlex.quote(str(path))
