"""Zip and tar archives, unpacked once into the cache: a folder per archive, by its content.

An archive is a stranger's: only plain files are taken from it, no name leads out of the folder, and
what it unpacks to is bounded before the disk is. Unpacked folders are whole or not there; what was
left out is written down beside them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Final

from service.system.locks import locked
from service.system.resources import cache_folder
from trainers.dataset.folders.archive_members import Member, members
from trainers.dataset.folders.filenames import is_text, printable
from trainers.dataset.folders.layout import DataError
from trainers.progress import log

ENDINGS: Final = (".zip", ".tar", ".tgz", ".gz", ".tbz2", ".bz2", ".txz", ".xz")
"""Of their names; what is one is decided by content."""
MAX_FILES: Final = 2_000_000
"""Ten times the largest folders of labelled pictures that fit one machine."""
MAX_RATIO: Final = 200
"""How many times its own size an archive may unpack to: pictures hardly shrink, drawings some."""
ALWAYS_BYTES: Final = 100_000_000
"""What any archive may unpack to, whatever its own size."""
RESERVE_BYTES: Final = 500_000_000
"""Left free on the disk for the run itself."""
_NO_TEXT: Final = "has a name with control characters, or not in UTF-8: rename it"
_NO_FILE: Final = "is a link or a device in the archive: pack the file or folder itself"
_NO_NAME: Final = "has a name that cannot be stored here: too long, or of a file and a folder"
_UNSTORABLE: Final = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
_BLOCK_BYTES: Final = 1 << 20
_DAMAGED: Final = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError)


def unpacked(archive: Path) -> Path:
    """The folder with the files of an archive, unpacked if it is not there yet.

    Raises:
        DataError: it is no archive that is read here, it is damaged or encrypted, or it would fill
            the disk.
    """
    try:
        found = members(archive)
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        root = cache_folder() / "archives"
        root.mkdir(parents=True, exist_ok=True)
        folder = root / digest[:32]
        with locked(root / f".{folder.name}.lock", wait=True):  # another run may be unpacking it
            if not folder.is_dir():
                _unpack(found, archive.stat().st_size, folder)
                log.info("unpacked %s into %s: delete that when nobody needs it", archive, folder)
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # of the disk; decompressors set none
            raise
        raise DataError(
            f"--data {archive} is damaged or cut short ({error}): copy it again"
        ) from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile: a password, or a rare method
        raise DataError(f"--data {archive}: {error}; unpack it and name the folder") from error
    return folder


def left_out(folder: Path) -> list[tuple[str, str]]:
    """Name and reason of what an archive holds and an unpacked folder does not."""
    path = _left_out_of(folder)
    if not path.is_file():
        return []
    return [(name, reason) for name, reason in json.loads(path.read_text(encoding="utf-8"))]


def _left_out_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.left-out.json")


def _unpack(found: Iterator[Member], archive_bytes: int, folder: Path) -> None:
    """Write all members into a folder beside, and give it its name when they are there."""
    left, missing = _Allowance(archive_bytes, folder.parent), []
    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
    try:
        for count, one in enumerate(found, 1):
            if count > MAX_FILES:
                raise DataError(f"the archive has more than {MAX_FILES:,} files: name a folder")
            path = staging / _inside(one.name)
            if not is_text(one.name):
                missing.append((printable(one.name), _NO_TEXT))
            elif not (content := one.content or _earlier(one, staging)):
                missing.append((one.name, _NO_FILE))
            elif not (file := _new_file(path)):
                missing.append((one.name, _NO_NAME))
            else:
                with content, file:
                    while block := content.read(_BLOCK_BYTES):
                        left.take(len(block))
                        file.write(block)
        if not staging.is_dir():
            raise DataError("the archive holds no files: name one with a folder for each class")
        if missing:
            _left_out_of(folder).write_text(json.dumps(missing), encoding="utf-8")
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _new_file(path: Path) -> IO[bytes] | None:
    """None where the name is too long, or that of a folder, or below a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
    except OSError as error:
        if error.errno not in _UNSTORABLE:
            raise
    return None


def _earlier(link: Member, staging: Path) -> IO[bytes] | None:
    """The content of the member that a hard link shares; None where it is none, or leads out."""
    if not link.source or not is_text(link.source):
        return None
    with suppress(DataError):
        source = staging / _inside(link.source)
        if source.is_file() and source != staging / link.name:
            return source.open("rb")
    return None


class _Allowance:
    """How many bytes an archive may still unpack to."""

    def __init__(self, archive_bytes: int, disk: Path) -> None:
        self._free = shutil.disk_usage(disk).free - RESERVE_BYTES
        self._plausible = max(ALWAYS_BYTES, MAX_RATIO * archive_bytes)
        self._disk, self._taken = disk, 0

    def take(self, size_bytes: int) -> None:
        self._taken += size_bytes
        if self._taken > self._plausible:
            raise DataError(
                f"the archive unpacks to more than {self._plausible:,} bytes, which no pictures "
                "of its size do: if you trust it, unpack it and name the folder"
            )
        if self._taken > self._free:
            raise DataError(
                f"the archive needs more room than is free under {self._disk}: make room there, "
                "let GRAFT_CACHE be on a disk with more, or unpack it and name the folder"
            )


def _inside(name: str) -> PurePosixPath:
    """The name as a path that stays in the folder.

    Raises:
        DataError: it leads out.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:(/|$)", name):
        raise DataError(
            f"the archive has a file that would lie outside of its folder ({printable(name)}): "
            "if you trust it, unpack it and name the folder"
        )
    return path
