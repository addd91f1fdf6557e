"""What a file holds by its first bytes, and what helps where no picture can be read from it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from service.errors import PayloadTooLarge, RequestError, UndecodableImage, UnsupportedMediaType
from service.imaging import OTHER_SUFFIXES, RAW_SUFFIXES, SUFFIXES, identify
from trainers.dataset.folders.filenames import ending

HEAD_BYTES: Final = 4096
"""What `identify` wants to see."""
_SLIDES: Final = frozenset({".svs", ".ndpi", ".czi", ".nd2", ".nii", ".eps", ".pcx", ".dicom"})
NO_PICTURES: Final = frozenset(
    {
        *("QuickTime film", "MP4 film", "Matroska or WebM film", "AVI film", "WAV sound"),
        *("ZIP archive", "gzip data", "7-Zip archive", "RAR archive", "NumPy array", "HDF5"),
        *("PDF", "PostScript"),
    }
)
"""Names of kinds that are nobody's slip beside pictures, and no reason to call a folder a class."""
_ANNEX: Final = b"/annex/objects/"
_LFS: Final = b"version https://git-lfs"


class Verdict(NamedTuple):
    """Why no picture can be had from a file, and which finding that is; "" for none."""

    kind: str
    reason: str


def is_meant_as_picture(name: str) -> bool:
    """Whether a file is called like a picture of any kind."""
    return ending(name) in {*SUFFIXES, *OTHER_SUFFIXES, *_SLIDES}


def look_into(path: Path) -> Verdict | None:
    """Why a file does not start like a picture that is read here; None where it does.

    A text or a film that nobody called a picture is no finding.
    """
    try:
        start = _head(path)
        if ending(path.name) in RAW_SUFFIXES:
            return Verdict("unsupported", "is a camera's raw file: export it as JPEG")
        identify(start)
    except (RequestError, OSError) as error:
        verdict = _verdict(b"" if isinstance(error, OSError) else start, error)
        is_picture = verdict.kind == "unsupported" and _kind(error) not in NO_PICTURES
        is_meant = is_picture or is_meant_as_picture(path.name)
        return verdict if is_meant else Verdict("", verdict.reason)
    return None


def why_not(path: Path, error: Exception) -> Verdict:
    """Why reading or decoding a picture failed, in words that help."""
    try:
        return _verdict(_head(path), error)
    except OSError as closed:
        return _verdict(b"", closed)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _verdict(start: bytes, error: Exception) -> Verdict:
    if isinstance(error, OSError):
        return Verdict("unreadable", f"cannot be read: {error.strerror or error}")
    if isinstance(error, PayloadTooLarge):
        return Verdict("too_large", f"{error.reason}: shrink it")
    if not start:
        return Verdict("empty_file", "is empty (0 bytes): copy it again, or delete it")
    if not start.strip(b"\0"):
        return Verdict("truncated", "holds nothing but zero bytes: copy it again")
    if isinstance(error, UndecodableImage):
        return Verdict("truncated", str(error))
    return _refused(start, error)


def _refused(start: bytes, error: Exception) -> Verdict:
    """What `identify` does not take, and says about it."""
    if start.startswith(_ANNEX):
        return Verdict("pointer", "is a pointer of git-annex: run `git annex get .`")
    if start.startswith(_LFS):
        return Verdict("pointer", "is a pointer of Git LFS: run `git lfs pull`")
    if _kind(error):
        return Verdict("unsupported", str(error))
    if not _is_text(start):
        return Verdict("unreadable", "holds no picture of a kind that is known here")
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"<", b"{")):
        answer = "is a web page or a server's answer, not the picture: download it again"
        return Verdict("web_page", answer)
    return Verdict("unreadable", "is text, not a picture")


def _kind(error: Exception) -> str:
    """The name of a kind that is known and not read; "" for anything else."""
    return error.kind if isinstance(error, UnsupportedMediaType) else ""


def _is_text(start: bytes) -> bool:
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4 and b"\0" not in start  # cut within a character
    return b"\0" not in start
