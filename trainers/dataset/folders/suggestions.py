"""Suggests the folder that was probably meant: the parent, or a folder with a similar name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from service.cli.arguments import closest_match
from trainers.dataset.folders.sniffing import has_picture_suffix

_MAX_ENTRIES = 1000
"""At most this number of entries of a folder are read: folders may be huge, and disks slow."""


def suggest_folder(folder: Path) -> str:
    """Return the end of a message, with the folder that was probably meant; "" if none is found."""
    if not folder.exists():
        close = closest_match(folder.name, [path.name for path in _subfolders(folder.parent)])
        return f". Did you mean --data {_quote(folder.parent / close)}?" if close else ""
    if _holds_pictures(folder) and _holds_classes(folder / os.pardir):
        parent = os.path.normpath(folder / os.pardir)
        return (
            ". This looks like the folder of a single class; use the folder that contains it: "
            f"--data {_quote(parent)}"
        )
    return ""


def suggest_current_folder() -> str:
    """Return a hint if a command without --data is run inside a dataset; "" elsewhere."""
    if _holds_classes(Path()):
        return "; to train on the pictures here, type --data ."
    if _holds_pictures(Path()) and _holds_classes(Path(os.pardir)):
        return "; to train on this folder and the folders next to it, type --data .."
    return ""


def _holds_classes(folder: Path) -> bool:
    return sum(map(_holds_pictures, _subfolders(folder))) > 1


def _holds_pictures(folder: Path) -> bool:
    """Whether the folder itself holds pictures."""
    return any(has_picture_suffix(path.name) and path.is_file() for path in _entries(folder))


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir() and not path.name.startswith(".")]


def _entries(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for _, entry in zip(range(_MAX_ENTRIES), entries, strict=False):
                yield folder / entry.name
    except OSError:
        return


def _quote(path: str | Path) -> str:
    return shlex.quote(str(path))
