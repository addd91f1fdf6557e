"""Decides from the first bytes of a file whether it is a picture; if not, explains why.

If the user can do something about it, the reason ends with advice, such as to download the file
again or to convert it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from service.errors import PayloadTooLarge, RequestError, UndecodableImage, UnsupportedMediaType
from service.imaging import OTHER_SUFFIXES, RAW_SUFFIXES, SUFFIXES, identify_format
from service.imaging.unsupported import GIT_ANNEX_POINTER, GIT_LFS_POINTER, TEXT, WEB_PAGE
from trainers.dataset.folders.filenames import suffix_of

HEAD_BYTES: Final = 4096
"""Number of bytes from the start of a file that `identify_format` needs."""
_SCIENTIFIC_SUFFIXES: Final = frozenset(
    {".svs", ".ndpi", ".czi", ".nd2", ".nii", ".eps", ".pcx", ".dicom"}
)
NON_PICTURE_KINDS: Final = frozenset(
    {
        *("QuickTime film", "MP4 film", "Matroska or WebM film", "AVI film", "WAV sound"),
        *("ZIP archive", "gzip data", "7-Zip archive", "RAR archive", "NumPy array", "HDF5"),
        *("PDF", "PostScript"),
    }
)
"""Kinds of files that often lie beside pictures. They are left out without a finding, unless
they have the suffix of a picture. A folder that holds only such files is not a class."""


class Rejection(NamedTuple):
    """Why a file or folder is not used.

    Attributes:
        kind: the kind of finding that reports the file or folder; "" if no finding reports it.
        reason: the end of a sentence that begins with the path.
    """

    kind: str
    reason: str


def has_picture_suffix(name: str) -> bool:
    """Whether a name has the suffix of a picture format, even one that Graft does not read."""
    return suffix_of(name) in {*SUFFIXES, *OTHER_SUFFIXES, *_SCIENTIFIC_SUFFIXES}


def sniff(path: Path) -> Rejection | None:
    """Return why a file is not used, judging by its first bytes; None for a picture.

    The kind of the rejection is "" if the file was not meant as a picture: for example, a text or a
    film without the suffix of a picture.
    """
    try:
        head = _read_head(path)
        if suffix_of(path.name) in RAW_SUFFIXES:
            return Rejection("unsupported", "is a camera's raw file: export it as JPEG")
        identify_format(head)
    except (RequestError, OSError) as error:
        rejection = _explain(b"" if isinstance(error, OSError) else head, error)
        is_picture = rejection.kind == "unsupported" and _kind(error) not in NON_PICTURE_KINDS
        is_finding = is_picture or has_picture_suffix(path.name)
        return rejection if is_finding else Rejection("", rejection.reason)
    return None


def explain_error(path: Path, error: Exception) -> Rejection:
    """Explain why reading or decoding a picture failed, and what to do about it."""
    try:
        return _explain(_read_head(path), error)
    except OSError as read_error:
        return _explain(b"", read_error)


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _explain(head: bytes, error: Exception) -> Rejection:
    if isinstance(error, OSError):
        return Rejection("unreadable", f"cannot be read: {error.strerror or error}")
    if isinstance(error, PayloadTooLarge):
        return Rejection("too_large", f"{error.reason}: shrink it")
    if not head:
        return Rejection("empty_file", "is empty (0 bytes): copy it again, or delete it")
    if not head.strip(b"\0"):
        return Rejection("truncated", "contains nothing but zero bytes: copy it again")
    if isinstance(error, UndecodableImage):
        return Rejection("truncated", error.reason)  # the finding gives the advice
    return _explain_kind(error)


def _explain_kind(error: Exception) -> Rejection:
    """Explain why a file is left out if its first bytes are not those of a supported format."""
    kind = _kind(error)
    if kind == GIT_ANNEX_POINTER:
        return Rejection("pointer", "is a pointer of git-annex: run `git annex get .`")
    if kind == GIT_LFS_POINTER:
        return Rejection("pointer", "is a pointer of Git LFS: run `git lfs pull`")
    if kind == WEB_PAGE:
        return Rejection(
            "web_page",
            "is a web page or a server's error message, not a picture: download it again",
        )
    if kind == TEXT:
        return Rejection("unreadable", "is text, not a picture")
    if kind:
        return Rejection("unsupported", str(error))
    return Rejection("unreadable", "is not a picture of a known format")


def _kind(error: Exception) -> str:
    """Return the unsupported format that an error names; "" for other errors."""
    return error.kind if isinstance(error, UnsupportedMediaType) else ""
