"""Find the pictures that a command line names: files, and pictures inside folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.errors import RequestError, UsageError
from service.imaging import OTHER_SUFFIXES, SUFFIXES, identify_format


def find_pictures(paths: Sequence[str]) -> list[str]:
    """List the pictures, in the order of `paths` and, inside folders, of names.

    A file that `paths` names is listed whatever it is. Inside folders suffixes decide; hidden files
    are skipped; a file without a suffix is listed if its first bytes are a picture's. Files and
    folders that cannot be opened are listed, so that scoring reports them. Symbolic links are
    followed, and each folder is read once.

    Raises:
        WrongUse: a path does not exist, or there are no pictures.
    """
    pictures: list[str] = []
    visited: set[str] = set()
    for path in paths:
        if not Path(path).exists():
            raise UsageError(f"no file or folder {path}; name pictures, or folders with pictures")
        pictures += _walk(path, visited) if Path(path).is_dir() else [path]
    if not pictures:
        raise UsageError(
            f"no pictures in {', '.join(paths)} (searched for {' '.join(SUFFIXES)}, in all "
            "sub-folders); name pictures, or folders with pictures"
        )
    return pictures


def _walk(root: str, visited: set[str]) -> Iterator[str]:
    """Yield the pictures below a folder, then folders that cannot be opened.

    `visited` holds real paths.
    """
    if (real_path := os.path.realpath(root)) in visited:
        return
    visited.add(real_path)
    unreadable: list[str] = []
    for parent, folders, files in os.walk(
        root, onerror=lambda error: unreadable.append(error.filename), followlinks=True
    ):
        # Real folders before links to them, so that pictures are listed by their real paths.
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
