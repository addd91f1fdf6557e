"""What lies in a Zip or tar archive besides folders, read once, in order, and checked."""

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

from trainers.dataset.folders.layout import DataError

_UTF8_FLAG: Final = 0x800
_BLOCK_BYTES: Final = 1 << 20
_COMPRESSIONS: Final[dict[bytes, Callable[..., Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}


class Member(NamedTuple):
    """What an archive holds besides folders.

    Attributes:
        content: None for links and devices.
        source: of a hard link, the name of an earlier member with its content.
    """

    name: str
    content: IO[bytes] | None
    source: str = ""


class _CheckedInfo(tarfile.TarInfo):
    """A header whose damage is an error: Python takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> Any:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if bytes(buf).strip(b"\0"):
                raise tarfile.ReadError(f"a header inside is damaged: {error}") from None
            raise


def members(archive: Path) -> Iterator[Member]:
    """The members of an archive, whose kind its content decides.

    Raises:
        DataError: it is no archive that is read here.
        BadZipFile: it was one; what is damaged further on is raised on the way.
    """
    try:  # before Zip, whose mark may lie anywhere: in a tar, that of a Zip inside
        tarfile.open(archive).close()
    except tarfile.ReadError:
        if zipfile.is_zipfile(archive):
            return _of_zip(archive)
        start = _start(archive)
        if start.startswith(b"PK\3\4"):
            raise zipfile.BadZipFile("its end is missing") from None
        if start.startswith(tuple(_COMPRESSIONS)):
            raise tarfile.ReadError("it holds no tar, or only a part of one") from None
        raise DataError(
            f"--data {archive} is neither a folder nor an archive that is read here (Zip, tar, "
            "tar.gz, tar.bz2, tar.xz): name a folder, or unpack it"
        ) from None
    return _of_tar(archive)


def _of_zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        for one in file.infolist():
            if _is_link(one):
                yield Member(_zip_name(one), None)
            elif not one.is_dir():
                with file.open(one) as content:
                    yield Member(_zip_name(one), content)


def _is_link(one: zipfile.ZipInfo) -> bool:
    return (one.external_attr >> 28) == 0o12  # the upper half holds Unix's mode


def _zip_name(one: zipfile.ZipInfo) -> str:
    """Its name in UTF-8, which macOS writes without saying so, and with / where .NET writes \\."""
    name = one.filename
    if not one.flag_bits & _UTF8_FLAG:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _of_tar(archive: Path) -> Iterator[Member]:
    start = _start(archive)
    plain = next((open_ for mark, open_ in _COMPRESSIONS.items() if start.startswith(mark)), _plain)
    # As a stream: one pass, whatever its size. Decompressed here, for tarfile checks no checksum.
    with (
        plain(archive) as content,
        tarfile.open(fileobj=content, mode="r|", tarinfo=_CheckedInfo) as file,
    ):
        for one in file:
            if not one.isdir():
                part = file.extractfile(one) if one.isreg() else None
                yield Member(one.name, part, one.linkname if one.islnk() else "")
        while content.read(_BLOCK_BYTES):  # up to the checksum at the end
            pass


def _start(archive: Path) -> bytes:
    with archive.open("rb") as file:
        return file.read(6)


def _plain(archive: Path) -> IO[bytes]:
    return archive.open("rb")
