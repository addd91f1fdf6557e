"""The files of a bundle: compute and verify their checksums, and flush them to disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict

from service.errors import BundleError


class FileRecord(BaseModel):
    """The checksum and size of a file, as the manifest of its bundle records them."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size_bytes: int

    @classmethod
    def from_path(cls, path: Path) -> Self:
        """Read a file and compute its record; raise OSError if it cannot be read."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(sha256=digest, size_bytes=path.stat().st_size)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Compute the record of a file whose content is `data`."""
        return cls(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def verify_file(folder: Path, name: str, record: FileRecord) -> None:
    """Compare a file of a bundle with its record.

    Raises:
        BundleError: the file differs from its record, is missing or cannot be read, or `name` is a
            path outside the bundle.
    """
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise BundleError(
            f"{folder}: the manifest lists {name!r}, which is outside the bundle; get an unaltered "
            "copy of the bundle"
        )
    path = folder / relative
    try:
        exists, is_same = path.is_file(), path.is_file() and FileRecord.from_path(path) == record
    except OSError as error:
        raise BundleError(
            f"{folder}: {name} cannot be read ({error}); check its permissions, or copy the bundle "
            "again"
        ) from error
    if not exists:
        raise BundleError(f"{folder}: {name} is missing; copy the bundle again")
    if not is_same:
        raise BundleError(f"{folder}: {name} was altered (checksum differs); copy the bundle again")


def fsync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk, so that they survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
