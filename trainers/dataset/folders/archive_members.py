"""Reads the members of a Zip or tar archive in order, in one pass, and verifies every checksum."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from trainers.dataset.folders.errors import DataError

_UTF8_FLAG: Final = 0x800
_BLOCK_BYTES: Final = 1 << 20
_MAGIC_BYTES: Final = 6
_DECOMPRESSORS: Final[dict[bytes, Callable[..., Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}


class Member(NamedTuple):
    """A file, a link or a device in an archive.

    Attributes:
        name: the path in the archive.
        content: an open file; None for links and devices.
        link_target: for a hard link, the name of the earlier member that has the same content.
    """

    name: str
    content: IO[bytes] | None
    link_target: str = ""


class _StrictTarInfo(tarfile.TarInfo):
    """Raises an error for a damaged header; `tarfile` would take it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> Any:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if bytes(buf).strip(b"\0"):
                raise tarfile.ReadError(f"a header in it is damaged: {error}") from None
            raise


def iter_members(archive: Path) -> Iterator[Member]:
    """Open an archive, whatever its suffix, and iterate over its members.

    Raises:
        DataError: the file is neither a Zip nor a tar archive.
        BadZipFile, TarError: the archive is damaged.

    The iteration raises BadZipFile or TarError, too; OSError, EOFError, zlib.error or LZMAError if
    decompression fails; RuntimeError for an encrypted file; and NotImplementedError for a
    compression method that Python does not know.
    """
    try:  # tar first, because a tar that contains a Zip also passes `is_zipfile`
        tarfile.open(archive).close()
    except tarfile.ReadError:
        if zipfile.is_zipfile(archive):
            return _iter_zip(archive)
        magic = _read_magic(archive)
        if magic.startswith(b"PK\3\4"):
            raise zipfile.BadZipFile("its end is missing") from None
        if magic.startswith(tuple(_DECOMPRESSORS)):
            raise tarfile.ReadError("it does not contain a complete tar archive") from None
        raise DataError(
            f"--data {archive} is neither a folder nor an archive that Graft reads (Zip, tar, "
            "tar.gz, tar.bz2, tar.xz): unpack it, and set --data to the folder"
        ) from None
    return _iter_tar(archive)


def _iter_zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if _is_link(info):
                yield Member(_zip_name(info), None)
            elif not info.is_dir():
                with file.open(info) as content:
                    yield Member(_zip_name(info), content)


def _is_link(info: zipfile.ZipInfo) -> bool:
    return (info.external_attr >> 28) == 0o12  # the upper half holds the Unix mode


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return the name of a member, read as UTF-8 and with / as separator.

    macOS writes UTF-8 without setting the flag for it, and .NET writes \\ instead of /.
    """
    name = info.filename
    if not info.flag_bits & _UTF8_FLAG:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _iter_tar(archive: Path) -> Iterator[Member]:
    magic = _read_magic(archive)
    opener = next(
        (function for start, function in _DECOMPRESSORS.items() if magic.startswith(start)),
        _open_plain,
    )
    # Read as a stream, in one pass. Decompressed here, because `tarfile` verifies no checksum.
    with (
        opener(archive) as content,
        tarfile.open(fileobj=content, mode="r|", tarinfo=_StrictTarInfo) as file,
    ):
        for info in file:
            if not info.isdir():
                data = file.extractfile(info) if info.isreg() else None
                yield Member(info.name, data, info.linkname if info.islnk() else "")
        while content.read(_BLOCK_BYTES):  # the checksum is at the end
            pass


def _read_magic(archive: Path) -> bytes:
    with archive.open("rb") as file:
        return file.read(_MAGIC_BYTES)


def _open_plain(archive: Path) -> IO[bytes]:
    return archive.open("rb")
