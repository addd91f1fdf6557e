"""Find the pictures at the paths on a command line: files, and the pictures inside folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.errors import RequestError, UsageError
from service.imaging import OTHER_SUFFIXES, SUFFIXES, identify_format


def find_pictures(paths: Sequence[str]) -> list[str]:
    """List the paths of pictures, in the order of `paths`; inside a folder, in the order of names.

    A file in `paths` is always listed. In folders and their sub-folders, a file is listed if it has
    the suffix of a picture format, or if it has no suffix and its first bytes are those of a
    picture. Hidden files and folders are skipped, and so are the `__MACOSX` folders that macOS adds
    to archives. A folder that cannot be opened is listed too, so that scoring reports it. Symbolic
    links are followed, and each folder is searched only once.

    Args:
        paths: paths of files and folders.

    Raises:
        UsageError: a path does not exist, or there are no pictures.
    """
    pictures: list[str] = []
    visited: set[str] = set()
    for path in paths:
        if not Path(path).exists():
            raise UsageError(
                f"there is no file or folder {path}; give the paths of pictures, or of folders "
                "with pictures"
            )
        pictures += _walk(path, visited) if Path(path).is_dir() else [path]
    if not pictures:
        raise UsageError(
            f"no pictures in {', '.join(paths)} (searched for {' '.join(SUFFIXES)}, in all "
            "sub-folders); give the paths of pictures, or of folders with pictures"
        )
    return pictures


def _walk(root: str, visited: set[str]) -> Iterator[str]:
    """Yield the paths of the pictures in a folder, then the paths of folders that cannot be opened.

    Args:
        root: path of the folder; its sub-folders are searched too.
        visited: real paths of the folders that have been searched. This function adds to them.
    """
    if (real_path := os.path.realpath(root)) in visited:
        return
    visited.add(real_path)
    unreadable: list[str] = []
    for parent, folders, files in os.walk(
        root, onerror=lambda error: unreadable.append(error.filename), followlinks=True
    ):
        # Search real folders before links to them, so that pictures are listed with real paths.
        names = sorted(filter(_is_visible, folders), key=lambda name: _links_last(parent, name))
        folders.clear()
        for name in names:
            if (real_path := os.path.realpath(Path(parent, name))) not in visited:
                visited.add(real_path)
                folders.append(name)
        paths = (Path(parent, name) for name in sorted(filter(_is_visible, files)))
        yield from (str(path) for path in paths if _is_picture(path))
    yield from unreadable


def _links_last(parent: str, name: str) -> tuple[bool, str]:
    return Path(parent, name).is_symlink(), name


def _is_visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))


def _is_picture(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix or not path.is_file():
        return suffix in (*SUFFIXES, *OTHER_SUFFIXES)
    try:
        with path.open("rb") as file:
            identify_format(file.read(4096))
    except (RequestError, OSError):
        return False
    return True
