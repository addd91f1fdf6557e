"""Files of a bundle: their checksums, and what makes them last on a disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict

from service.errors import BundleError


class FileRecord(BaseModel):
    """What a file held when its bundle was sealed."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a file through; OSError where it cannot be read."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(sha256=digest, size_bytes=path.stat().st_size)

    @classmethod
    def of_bytes(cls, data: bytes) -> Self:
        return cls(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def verify(folder: Path, name: str, record: FileRecord) -> None:
    """Compare a file of a bundle with its record; BundleError where it is not the same."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise BundleError(f"{folder}: the manifest names {name!r}, outside the bundle")
    path = folder / relative
    try:
        is_there, is_same = path.is_file(), path.is_file() and FileRecord.of(path) == record
    except OSError as error:
        raise BundleError(f"{folder}: {name} cannot be read: {error}") from error
    if not is_there:
        raise BundleError(f"{folder}: {name} is missing; copy the bundle again")
    if not is_same:
        raise BundleError(f"{folder}: {name} was altered (checksum differs); copy the bundle again")


def flush(path: Path) -> None:
    """Return once a file, or a folder's list of names, is on the disk, power or not."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
