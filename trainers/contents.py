"""What a file holds by its first bytes, and what helps where no picture can be read from it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from service.errors import PayloadTooLarge, RequestError, UndecodableImage, UnsupportedMediaType
from service.imaging import SUFFIXES, sniff
from trainers.filenames import ending

HEAD_BYTES: Final = 4096

_OTHERS: Final = frozenset(
    {
        *(".jpe", ".jif", ".jfif", ".mpo", ".apng", ".avif", ".gif", ".bmp", ".tif", ".tiff"),
        *(".heic", ".heif", ".jxl", ".jp2", ".jpx", ".j2k", ".jls", ".svg", ".eps", ".ico"),
        *(".pbm", ".pgm", ".ppm", ".pnm", ".tga", ".pcx", ".psd", ".xcf", ".exr", ".hdr"),
        *(".dcm", ".dicom", ".nii", ".svs", ".ndpi", ".czi", ".nd2"),
    }
)
_RAW: Final = frozenset(
    {
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".nef", ".nrw", ".orf", ".pef"),
        *(".raf", ".rw2", ".sr2", ".srw", ".x3f"),
    }
)
"""Cameras' own files. Many are TIFF by their first bytes, with a thumbnail as the first page."""
_CONVERT: Final = "convert it to JPEG or PNG"
_VIDEO: Final = "is a video: save frames of it as pictures"
_STARTS: Final = (  # where the bytes stand, the bytes, the finding, and what helps
    (0, b"version https://git-lfs", "pointer", "is a pointer of Git LFS: run `git lfs pull`"),
    (0, b"/annex/objects/", "pointer", "is a pointer of git-annex: run `git annex get .`"),
    (0, b"%PDF", "unreadable", "is a PDF: save its pages as pictures"),
    (0, b"PK\x03\x04", "unreadable", "is a Zip archive: unpack it, or name it alone by --data"),
    (0, b"Rar!", "unreadable", "is a RAR archive: unpack it"),
    (0, b"7z\xbc\xaf", "unreadable", "is a 7z archive: unpack it"),
    (0, b"\x1f\x8b", "unreadable", "is compressed (gzip): unpack it, or name it alone by --data"),
    (0, b"\x1aE\xdf\xa3", "unreadable", _VIDEO),
    (8, b"AVI ", "unreadable", _VIDEO),
    *(
        (4, b"ftyp" + brand, "unreadable", _VIDEO)
        for brand in (b"isom", b"iso2", b"iso5", b"mp4", b"avc1", b"qt  ", b"M4V", b"3gp", b"MSNV")
    ),
)
_KINDS: Final = (
    *((4, b"ftyp" + brand, "HEIC") for brand in (b"hei", b"hev", b"mif1", b"msf1")),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftypcrx", "CR3"),
    (0, b"BM", "BMP"),
    (0, b"GIF8", "GIF"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "PSD"),
    (128, b"DICM", "DICOM"),
)


class Verdict(NamedTuple):
    """Why no picture can be had from a file, and which finding that is; "" for none."""

    kind: str
    reason: str


def is_meant_as_picture(name: str) -> bool:
    """Whether a file is called like a picture of any kind."""
    return ending(name) in {*SUFFIXES, *_OTHERS, *_RAW}


def holds_picture(path: Path) -> bool:
    """Whether a file starts like a picture that can be read here."""
    if ending(path.name) in _RAW:
        return False
    try:
        sniff(_head(path))
    except (RequestError, OSError):
        return False
    return True


def why_not(path: Path, error: Exception | None = None) -> Verdict:
    """Why no picture can be read from a file, in words that help.

    Args:
        path: of the file.
        error: that its decoding raised; None for a file that does not start like a picture.
    """
    try:
        verdict = _why_not(path, _head(path), error)
    except OSError as closed:
        return Verdict("unreadable", f"cannot be read: {closed.strerror or closed}")
    # A text or a film that nobody called a picture is no finding.
    is_one = is_meant_as_picture(path.name) or verdict.kind == "unsupported"
    return verdict if is_one or error else Verdict("", verdict.reason)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _why_not(path: Path, start: bytes, error: Exception | None) -> Verdict:
    if isinstance(error, PayloadTooLarge):
        return Verdict("too_large", str(error).replace("send a smaller one", "shrink it to that"))
    if not start:
        return Verdict("empty_file", "is empty (0 bytes): copy it again, or delete it")
    if not start.strip(b"\0"):
        return Verdict("truncated", "holds nothing but zero bytes: copy it again")
    if isinstance(error, UndecodableImage):
        return Verdict("truncated" if error.__cause__ else "unreadable", str(error))
    return _known(path, start) or _unknown(path, start, error)


def _known(path: Path, start: bytes) -> Verdict | None:
    if ending(path.name) in _RAW:
        return Verdict("unsupported", "is a camera's raw file: export it as JPEG")
    for at, mark, kind, reason in _STARTS:
        if start[at:].startswith(mark):
            return Verdict(kind, reason)
    for at, mark, name in _KINDS:
        is_chance = len(mark) < 3 and _is_text(start)  # "BMW" is no BMP
        if start[at:].startswith(mark) and not is_chance:
            return Verdict("unsupported", f"is a {name} picture, which is not read: {_CONVERT}")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in text:
        return Verdict("unsupported", f"is an SVG drawing, which is not read: {_CONVERT}")
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error", b'{"')):
        said = "is a web page or a server's answer, not the picture: download it again"
        return Verdict("web_page", said)
    return None


def _unknown(path: Path, start: bytes, error: Exception | None) -> Verdict:
    """Nothing that is known: an error of the decoder says most, then the name."""
    if error is not None and not isinstance(error, UnsupportedMediaType):
        return Verdict("unreadable", str(error))
    if _is_text(start):
        return Verdict("unreadable", "is text, not a picture")
    suffix = ending(path.name)
    if suffix in _OTHERS:
        return Verdict("unsupported", f"`{suffix}` is not read: {_CONVERT}")
    return Verdict("unreadable", "holds no picture of a kind that is known here")


def _is_text(start: bytes) -> bool:
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4 and b"\0" not in start  # cut within a character
    return b"\0" not in start
