"""Unpacks Zip and tar archives once into the cache, each into a folder named after its SHA-256.

Archives are not trusted: only regular files are written, no path may lead out of the folder, and
the unpacked size is limited. The folder exists only if the archive was read to its end. If members
were left out, a JSON file beside the folder lists them.
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

from service.system.folders import cache_folder
from service.system.locks import file_lock
from trainers.dataset.folders.archive_members import Member, iter_members
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import escape, is_printable
from trainers.progress import log

SUFFIXES: Final = (".zip", ".tar", ".tgz", ".gz", ".tbz2", ".bz2", ".txz", ".xz")
"""Suffixes of archives, used only for hints: the content decides whether a file is an archive."""
MAX_FILES: Final = 2_000_000
"""Archives with more files than this are rejected; datasets for one machine have fewer."""
MAX_RATIO: Final = 200
"""An archive is rejected if its unpacked size is more than this many times its own size.
Compression hardly shrinks photos; it shrinks drawings by up to this factor."""
MIN_LIMIT_BYTES: Final = 100_000_000
"""Unpacked size that is always allowed, even for a very small archive."""
RESERVE_BYTES: Final = 500_000_000
"""Disk space that unpacking leaves free for the run itself."""
_UNPRINTABLE: Final = "has control characters in its name, or a name that is not UTF-8: rename it"
_NOT_A_FILE: Final = "is a link or a device in the archive: pack the file or folder itself"
_BAD_NAME: Final = (
    "cannot be stored on this disk: its name is too long, or a file and a folder have the same "
    "name: rename it"
)
_NAME_ERRORS: Final = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
_BLOCK_BYTES: Final = 1 << 20
_DAMAGE_ERRORS: Final = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError)


def unpack(archive: Path) -> Path:
    """Unpack an archive unless the cache already has it; return the folder with its files.

    Raises:
        DataError: the file is not a Zip or tar archive; it is damaged, encrypted or empty; it has
            too many files, or a path that leads out of the folder; or it would unpack to too large
            a size, or fill the disk.
        OSError: the archive cannot be opened, or the cache cannot be written.
    """
    try:
        members = iter_members(archive)
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        root = cache_folder() / "archives"
        root.mkdir(parents=True, exist_ok=True)
        folder = root / digest[:32]
        with file_lock(root / f".{folder.name}.lock", wait=True):  # another run may unpack it now
            if not folder.is_dir():
                try:
                    _unpack_members(members, archive.stat().st_size, folder)
                except DataError as error:
                    raise DataError(f"--data {archive}: {error}") from None
                log.info(
                    "unpacked %s into %s; you can delete that folder when you no longer need it",
                    archive,
                    folder,
                )
    except (*_DAMAGE_ERRORS, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # an error of the disk
            raise
        raise DataError(
            f"--data {archive} is damaged or cut short ({error}): copy or download it again"
        ) from error
    except (RuntimeError, NotImplementedError) as error:  # a password, or a rare compression
        raise DataError(
            f"--data {archive}: {error}; unpack the archive yourself, and set --data to the folder"
        ) from error
    return folder


def read_left_out(folder: Path) -> list[tuple[str, str]]:
    """Return the name of every archive member that was not unpacked, and the reason.

    Args:
        folder: the folder that `unpack` returned.
    """
    path = _left_out_path(folder)
    if not path.is_file():
        return []
    return [(name, reason) for name, reason in json.loads(path.read_text(encoding="utf-8"))]


def _left_out_path(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.left-out.json")


def _unpack_members(members: Iterator[Member], archive_bytes: int, folder: Path) -> None:
    """Write all members into a staging folder beside `folder`, then rename it to `folder`."""
    limit, left_out = _SizeLimit(archive_bytes, folder.parent), []
    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)  # left by a run that was killed
    try:
        for count, member in enumerate(members, 1):
            if count > MAX_FILES:
                raise DataError(
                    f"the archive has more than {MAX_FILES:,} files: unpack it yourself, and set "
                    "--data to the folder"
                )
            path = staging / _relative_path(member.name)
            if not is_printable(member.name):
                left_out.append((escape(member.name), _UNPRINTABLE))
            elif not (content := member.content or _open_link_target(member, staging)):
                left_out.append((member.name, _NOT_A_FILE))
            elif not (file := _create_file(path)):
                left_out.append((member.name, _BAD_NAME))
            else:
                with content, file:
                    while block := content.read(_BLOCK_BYTES):
                        limit.consume(len(block))
                        file.write(block)
        if not staging.is_dir():
            raise DataError("the archive has no files; it must have one folder per class")
        if left_out:
            _left_out_path(folder).write_text(json.dumps(left_out), encoding="utf-8")
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _create_file(path: Path) -> IO[bytes] | None:
    """Open a new file for writing.

    Return None if its name is too long, if a folder has the same name, or if its parent is a file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
    except OSError as error:
        if error.errno not in _NAME_ERRORS:
            raise
    return None


def _open_link_target(link: Member, staging: Path) -> IO[bytes] | None:
    """Open the earlier member that a hard link points to; None if there is no such file."""
    if not link.link_target or not is_printable(link.link_target):
        return None
    with suppress(DataError):
        target = staging / _relative_path(link.link_target)
        if target.is_file() and target != staging / link.name:
            return target.open("rb")
    return None


class _SizeLimit:
    """Counts the unpacked bytes of an archive, and raises an error if they exceed a limit.

    Archives that are small but unpack to a huge size are called decompression bombs.
    """

    def __init__(self, archive_bytes: int, disk: Path) -> None:
        self._free = shutil.disk_usage(disk).free - RESERVE_BYTES
        self._plausible = max(MIN_LIMIT_BYTES, MAX_RATIO * archive_bytes)
        self._disk, self._consumed = disk, 0

    def consume(self, size_bytes: int) -> None:
        self._consumed += size_bytes
        if self._consumed > self._plausible:
            raise DataError(
                f"the archive unpacks to more than {self._plausible:,} bytes, far more than an "
                "archive of pictures would: if you trust it, unpack it yourself, and set --data to "
                "the folder"
            )
        if self._consumed > self._free:
            raise DataError(
                f"the archive needs more space than is free in {self._disk}: free some space "
                "there, set GRAFT_CACHE to a folder on a larger disk, or unpack the archive "
                "yourself and set --data to the folder"
            )


def _relative_path(name: str) -> PurePosixPath:
    """Return the path of a member, relative to the folder into which the archive is unpacked.

    Raises:
        DataError: the path leads out of that folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:(/|$)", name):
        raise DataError(
            f"the archive has a file that would be written outside the folder into which it is "
            f"unpacked ({escape(name)}): if you trust the archive, unpack it yourself, and set "
            "--data to the folder"
        )
    return path
