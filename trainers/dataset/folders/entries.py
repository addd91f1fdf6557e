"""Lists all files below a folder, and the folders that are not entered, with the reasons."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.imaging import SUFFIXES
from service.system.folders import cache_folder
from trainers.dataset.folders import sniffing
from trainers.dataset.folders.filenames import (
    escape,
    is_hidden,
    is_printable,
    is_system_folder,
    is_version_control,
    suffix_of,
)
from trainers.dataset.folders.sniffing import Rejection

EMPTY = Rejection("empty_class", "is empty")
UNPRINTABLE = Rejection(
    "unreadable", "has control characters in its name, or a name that is not UTF-8: rename it"
)
_ICLOUD_SUFFIX = ".icloud"
"""macOS replaces 1.jpg by the placeholder .1.jpg.icloud when it moves the picture to iCloud."""
_BUNDLE_FILES = ("manifest.json", "metrics.json")
"""A folder with both files is a bundle, an output of Graft."""


@dataclass(frozen=True)
class Entry:
    """A file, or a folder that is not entered. Its class is not determined yet.

    Attributes:
        path: the file or folder.
        parts: the parts of the path relative to the data folder. If a folder cannot be opened, an
            additional last part "" stands for the unknown files in it.
        is_picture: True for a file that is meant as a picture, even in an unsupported format. Also
            True for a folder that cannot be opened, because it may hold pictures.
        rejection: why the entry is left out before decoding; None if it is a picture.
    """

    path: Path
    parts: tuple[str, ...]
    is_picture: bool
    rejection: Rejection | None

    @property
    def name(self) -> str:
        return escape("/".join(filter(None, self.parts))) or "."


def list_entries(folder: Path) -> list[Entry]:
    """List all entries of a folder and of the folders below it, in a fixed order."""
    return [_entry(path, path.relative_to(folder).parts) for path in _walk(folder)]


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and in all folders below it, and the folders not entered.

    Hidden files are skipped unless they are pictures. Folders of version control are skipped, too.
    Other folders are yielded but not entered if they are empty, hidden, not readable, already
    visited, or made by an operating system, a tool or Graft. Links are followed.
    """
    visited = {os.path.realpath(folder)}
    closed: list[Path] = []
    cache = os.path.realpath(cache_folder())
    for parent, folders, files in os.walk(
        folder, onerror=lambda error: closed.append(Path(error.filename)), followlinks=True
    ):
        if {*_BUNDLE_FILES} <= {*files} or os.path.realpath(parent) == cache:
            folders.clear()
            yield Path(parent)
            continue
        hidden = sorted(
            name for name in folders if is_hidden(name) and not is_version_control(name)
        )
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        shown = sorted(name for name in files if not is_hidden(name) or _is_hidden_picture(name))
        if not folders and not shown and Path(parent) != folder:
            yield Path(parent)
        # Real folders before links to them, so that the class is not named after a link.
        for name in sorted(folders, key=lambda name: Path(parent, name).is_symlink()):
            real = os.path.realpath(Path(parent, name))
            if real in visited or is_system_folder(name):
                folders.remove(name)
                yield Path(parent, name)
            visited.add(real)
        yield from (Path(parent, name) for name in hidden + shown)
    yield from closed


def _is_hidden_picture(name: str) -> bool:
    """Whether a hidden file is a picture, judging by its name.

    The file ._1.jpg is not a picture: macOS stores attributes of 1.jpg in it.
    """
    is_picture = sniffing.has_picture_suffix(name) or name.endswith(_ICLOUD_SUFFIX)
    return is_picture and not name.startswith("._")


def _entry(path: Path, parts: tuple[str, ...]) -> Entry:
    has_suffix = sniffing.has_picture_suffix(path.name)
    if not is_printable("/".join(parts)):
        return Entry(path, parts, has_suffix and not path.is_dir(), UNPRINTABLE)
    if path.name.endswith(_ICLOUD_SUFFIX):
        return Entry(path, parts, True, Rejection("pointer", "is still in iCloud: download it"))
    if is_hidden(path.name):
        return Entry(path, parts, False, Rejection("", "is hidden, so it is not read"))
    if path.is_dir():
        return _folder_entry(path, parts)
    if not path.is_file():
        reason = "is not a regular file" if path.exists() else "is a broken link"
        return Entry(path, parts, has_suffix, Rejection("unreadable", reason))
    rejection = None if suffix_of(path.name) in SUFFIXES else sniffing.sniff(path)
    is_picture = has_suffix or not rejection or bool(rejection.kind)
    return Entry(path, parts, is_picture, rejection)


def _folder_entry(path: Path, parts: tuple[str, ...]) -> Entry:
    if reason := why_not_opened(path):
        return Entry(path, (*parts, ""), True, Rejection("unreadable", reason))
    return Entry(path, parts, False, _why_not_entered(path))


def why_not_opened(folder: Path) -> str:
    """Return why a folder cannot be opened; "" if it can."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    return ""


def _why_not_entered(folder: Path) -> Rejection:
    if is_system_folder(folder.name):
        return Rejection(
            "", "is a folder made by an operating system or a tool: rename it if it is a class"
        )
    names = [path.name for path in folder.iterdir()]
    if {*_BUNDLE_FILES} <= {*names}:
        return Rejection("", "is a bundle, an output of Graft")
    if os.path.realpath(folder) == os.path.realpath(cache_folder()):
        return Rejection("", "is the cache of Graft")
    if not all(map(is_hidden, names)):
        return Rejection("", "is already read under another path")
    return EMPTY
