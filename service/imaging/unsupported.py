"""Recognise files that Graft does not read, and say what to do with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from service.errors import UnsupportedMediaType
from service.imaging.readers.header import unsupported_error

RAW_SUFFIXES: Final = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".nef", ".nrw", ".orf", ".pef"),
    *(".raf", ".rw2", ".sr2", ".srw", ".x3f"),
)
"""File name suffixes of raw camera pictures. Many of these files are TIFFs whose first page is just
a thumbnail."""

OTHER_SUFFIXES: Final = (
    *(".jp2", ".j2k", ".jpx", ".jls", ".jxl", ".jxr", ".jng", ".svg", ".psd", ".xcf", ".ico"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".tga", ".exr", ".hdr", ".dds", ".qoi", ".dcm"),
    *RAW_SUFFIXES,
)
"""File name suffixes of picture formats that Graft does not read, including `RAW_SUFFIXES`."""

GIT_LFS_POINTER: Final = "Git LFS pointer"
GIT_ANNEX_POINTER: Final = "git-annex pointer"
WEB_PAGE: Final = "web page"
TEXT: Final = "text"
_SNIFFED_BYTES: Final = 4096
"""Number of bytes at the start of a file that are used to recognise its format."""

_TO_JPEG: Final = "convert it to a JPEG or PNG"
_TO_PNG: Final = "convert it to a PNG"
_EXTRACT_FRAMES: Final = "extract single frames, e.g. with ffmpeg"
_SAVE_EACH: Final = "save each picture as a separate file"
_UNPACK: Final = "unpack it first"


class _Unsupported(NamedTuple):
    """A file format that Graft recognises but does not read.

    Attributes:
        name: name of the format, as error messages show it.
        magic: the bytes by which a file of this format is recognised.
        remedy: what the user can do.
        offset: position of `magic` in the file, in bytes from the start.
    """

    name: str
    magic: bytes
    remedy: str
    offset: int = 0


_UNSUPPORTED: Final = (
    _Unsupported(
        GIT_LFS_POINTER, b"version https://git-lfs", "fetch the picture itself: git lfs pull"
    ),
    _Unsupported(
        GIT_ANNEX_POINTER, b"/annex/objects/", "fetch the picture itself: git annex get ."
    ),
    _Unsupported("raw camera picture (CR3)", b"ftypcrx", _TO_JPEG, offset=4),
    _Unsupported("QuickTime film", b"ftypqt", _EXTRACT_FRAMES, offset=4),
    _Unsupported("MP4 film", b"ftyp", _EXTRACT_FRAMES, offset=4),
    _Unsupported("JPEG 2000", b"\0\0\0\x0cjP  ", f"{_TO_JPEG}: magick in.jp2 out.png"),
    _Unsupported("JPEG 2000", b"\xff\x4f\xff\x51", f"{_TO_JPEG}: magick in.j2k out.png"),
    _Unsupported("JPEG XL", b"\0\0\0\x0cJXL ", f"{_TO_JPEG}: djxl in.jxl out.png"),
    _Unsupported("JPEG XL", b"\xff\x0a", f"{_TO_JPEG}: djxl in.jxl out.png"),
    _Unsupported("JPEG XR", b"II\xbc\x01", _TO_JPEG),
    _Unsupported("JNG", b"\x8bJNG", _TO_JPEG),
    _Unsupported("MNG", b"\x8aMNG", _TO_JPEG),
    _Unsupported("Photoshop document", b"8BPS", "save a copy as JPEG or PNG"),
    _Unsupported("GIMP document", b"gimp xcf", "export it as JPEG or PNG"),
    _Unsupported("PDF", b"%PDF", "export its pages as pictures: pdftoppm -png in.pdf out"),
    _Unsupported("PostScript", b"%!PS", "export its pages as pictures: magick in.ps out.png"),
    _Unsupported(
        "DICOM", b"DICM", f"{_TO_PNG}, e.g. with dcmtk: dcm2img in.dcm out.png", offset=128
    ),
    _Unsupported("OpenEXR", b"\x76\x2f\x31\x01", _TO_JPEG),
    _Unsupported("Radiance HDR", b"#?RADIANCE", _TO_JPEG),
    _Unsupported("raw camera picture (RAF)", b"FUJIFILMCCD", _TO_JPEG),
    _Unsupported("raw camera picture (ORF)", b"IIRO", _TO_JPEG),
    _Unsupported("raw camera picture (RW2)", b"IIU\0", _TO_JPEG),
    _Unsupported("Windows icon", b"\0\0\1\0", _TO_JPEG),
    _Unsupported("QOI", b"qoif", _TO_JPEG),
    _Unsupported("DirectDraw surface", b"DDS ", _TO_JPEG),
    *(_Unsupported("Netpbm picture", b"P%d" % digit, _TO_PNG) for digit in range(1, 8)),
    _Unsupported("FITS", b"SIMPLE  =", _TO_JPEG),
    _Unsupported("HDF5", b"\x89HDF", _SAVE_EACH),
    _Unsupported("NumPy array", b"\x93NUMPY", _SAVE_EACH),
    _Unsupported("Matroska or WebM film", b"\x1a\x45\xdf\xa3", _EXTRACT_FRAMES),
    _Unsupported("AVI film", b"AVI ", _EXTRACT_FRAMES, offset=8),
    _Unsupported("WAV sound", b"WAVE", "choose a picture instead", offset=8),
    _Unsupported("ZIP archive", b"PK\3\4", _UNPACK),
    _Unsupported("gzip data", b"\x1f\x8b", _UNPACK),
    _Unsupported("7-Zip archive", b"7z\xbc\xaf", _UNPACK),
    _Unsupported("RAR archive", b"Rar!", _UNPACK),
    _Unsupported("SVG drawing", b"<svg", "export it as PNG"),
)
"""The recognised formats. The first match counts, so specific formats stand before general ones."""


def explain_unsupported(first_bytes: bytes, accepted: Iterable[str]) -> UnsupportedMediaType:
    """Make the error for a file whose format is not supported.

    Args:
        first_bytes: the first bytes of the file.
        accepted: names of the formats that are accepted here, for the message.
    """
    first_bytes = first_bytes[:_SNIFFED_BYTES]
    for known in _UNSUPPORTED:
        if first_bytes[known.offset :].startswith(known.magic):
            return unsupported_error(known.name, known.remedy)
    text = first_bytes[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return unsupported_error("SVG drawing", "export it as PNG")
    if text.startswith((b"{", b"<")) and _is_text(first_bytes):
        return UnsupportedMediaType(
            "this is text, not a picture: perhaps an error page was saved instead of the picture; "
            "download the picture again",
            WEB_PAGE,
        )
    return UnsupportedMediaType(
        "the data is not a picture in a supported format; use one of the formats "
        f"{', '.join(accepted)}",
        TEXT if _is_text(first_bytes) else "",
    )


def _is_text(first_bytes: bytes) -> bool:
    """Whether the first bytes of a file are UTF-8 text without zero bytes.

    The last character may be incomplete, because `first_bytes` is only the start of the file.
    """
    try:
        first_bytes.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(first_bytes) - 4 and b"\0" not in first_bytes
    return b"\0" not in first_bytes
