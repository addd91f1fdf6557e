"""Which files a command line means: those it names, and the pictures inside folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.errors import RequestError, WrongUse
from service.imaging import OTHER_SUFFIXES, SUFFIXES, identify


def pictures_in(places: Sequence[str]) -> list[str]:
    """The paths of all pictures, in the order of `places` and, inside folders, of names.

    A file that is named is taken whatever it is. Inside folders names decide: hidden ones are
    passed over, files without an ending are looked into, and what cannot be opened is in the list,
    so that somebody meets it. Links are followed, each folder is read once.

    Raises:
        WrongUse: a place is not there, or there are no pictures.
    """
    found: list[str] = []
    met: set[str] = set()
    for place in places:
        if not Path(place).exists():
            raise WrongUse(f"no file or folder {place}; name pictures, or folders that hold some")
        found += _inside(place, met) if Path(place).is_dir() else [place]
    if not found:
        raise WrongUse(
            f"no pictures in {', '.join(places)} (looked for {' '.join(SUFFIXES)}, in all "
            "sub-folders); name pictures, or folders that hold some"
        )
    return found


def _inside(folder: str, met: set[str]) -> Iterator[str]:
    """The pictures in a folder, and folders that cannot be opened; `met` as real paths."""
    if (real := os.path.realpath(folder)) in met:
        return
    met.add(real)
    closed: list[str] = []
    for parent, folders, files in os.walk(
        folder, onerror=lambda error: closed.append(error.filename), followlinks=True
    ):
        # Real folders before links to them, whose names would take over otherwise.
        shown = sorted(filter(_is_shown, folders), key=lambda name: _links_last(parent, name))
        folders.clear()
        for name in shown:
            if (real := os.path.realpath(Path(parent, name))) not in met:
                met.add(real)
                folders.append(name)
        paths = (Path(parent, name) for name in sorted(filter(_is_shown, files)))
        yield from (str(path) for path in paths if _is_meant_as_picture(path))
    yield from closed


def _links_last(parent: str, name: str) -> tuple[bool, str]:
    return Path(parent, name).is_symlink(), name


def _is_shown(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))


def _is_meant_as_picture(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix or not path.is_file():
        return suffix in (*SUFFIXES, *OTHER_SUFFIXES)
    try:
        with path.open("rb") as file:
            identify(file.read(4096))
    except (RequestError, OSError):
        return False
    return True
