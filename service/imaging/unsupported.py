"""Files that Graft does not read: what they are, by their first bytes or suffix, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from service.errors import UnsupportedMediaType
from service.imaging.readers.header import unsupported_error

RAW_SUFFIXES: Final = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".nef", ".nrw", ".orf", ".pef"),
    *(".raf", ".rw2", ".sr2", ".srw", ".x3f"),
)
"""Raw files of cameras. Many start like a TIFF, and their first page is a thumbnail."""

OTHER_SUFFIXES: Final = (
    *(".jp2", ".j2k", ".jpx", ".jls", ".jxl", ".jxr", ".jng", ".svg", ".psd", ".xcf", ".ico"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".tga", ".exr", ".hdr", ".dds", ".qoi", ".dcm"),
    *RAW_SUFFIXES,
)
"""Suffixes of picture formats that Graft does not read."""

GIT_LFS_POINTER: Final = "Git LFS pointer"
GIT_ANNEX_POINTER: Final = "git-annex pointer"
WEB_PAGE: Final = "web page"
TEXT: Final = "text"
_HEAD_BYTES: Final = 4096

_TO_JPEG: Final = "convert it to a JPEG or PNG"
_EXTRACT_FRAMES: Final = "extract single frames, e.g. with ffmpeg"
_UNSUPPORTED: Final[tuple[tuple[int, bytes, str, str], ...]] = (
    (0, b"version https://git-lfs", GIT_LFS_POINTER, "fetch the picture itself: git lfs pull"),
    (0, b"/annex/objects/", GIT_ANNEX_POINTER, "fetch the picture itself: git annex get ."),
    (4, b"ftypcrx", "raw picture of a camera (CR3)", _TO_JPEG),
    (4, b"ftypqt", "QuickTime film", _EXTRACT_FRAMES),
    (4, b"ftyp", "MP4 film", _EXTRACT_FRAMES),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000", "convert it to a JPEG or PNG: magick in.jp2 out.png"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000", "convert it to a JPEG or PNG: magick in.j2k out.png"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL", "convert it to a JPEG or PNG: djxl in.jxl out.png"),
    (0, b"\xff\x0a", "JPEG XL", "convert it to a JPEG or PNG: djxl in.jxl out.png"),
    (0, b"II\xbc\x01", "JPEG XR", _TO_JPEG),
    (0, b"\x8bJNG", "JNG", _TO_JPEG),
    (0, b"\x8aMNG", "MNG", _TO_JPEG),
    (0, b"8BPS", "Photoshop document", "save a copy as JPEG or PNG"),
    (0, b"gimp xcf", "GIMP document", "export it as JPEG or PNG"),
    (0, b"%PDF", "PDF", "export its pages as pictures: pdftoppm -png in.pdf out"),
    (0, b"%!PS", "PostScript", "export its pages as pictures: magick in.ps out.png"),
    (128, b"DICM", "DICOM", "convert it to a PNG, e.g. with dcmtk: dcm2img in.dcm out.png"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR", _TO_JPEG),
    (0, b"#?RADIANCE", "Radiance HDR", _TO_JPEG),
    (0, b"FUJIFILMCCD", "raw picture of a camera (RAF)", _TO_JPEG),
    (0, b"IIRO", "raw picture of a camera (ORF)", _TO_JPEG),
    (0, b"IIU\0", "raw picture of a camera (RW2)", _TO_JPEG),
    (0, b"\0\0\1\0", "Windows icon", _TO_JPEG),
    (0, b"qoif", "QOI", _TO_JPEG),
    (0, b"DDS ", "DirectDraw surface", _TO_JPEG),
    *((0, b"P%d" % digit, "Netpbm picture", "convert it to a PNG") for digit in range(1, 8)),
    (0, b"SIMPLE  =", "FITS", _TO_JPEG),
    (0, b"\x89HDF", "HDF5", "save each picture as a file of its own"),
    (0, b"\x93NUMPY", "NumPy array", "save each picture as a file of its own"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM film", _EXTRACT_FRAMES),
    (8, b"AVI ", "AVI film", _EXTRACT_FRAMES),
    (8, b"WAVE", "WAV sound", "this is not a picture"),
    (0, b"PK\3\4", "ZIP archive", "unpack it first"),
    (0, b"\x1f\x8b", "gzip data", "unpack it first"),
    (0, b"7z\xbc\xaf", "7-Zip archive", "unpack it first"),
    (0, b"Rar!", "RAR archive", "unpack it first"),
    (0, b"<svg", "SVG drawing", "export it as PNG"),
)  # fmt: skip
"""Offset, the bytes there, the name of the format, and what to do. The first match counts."""


def explain_unsupported(head: bytes, supported: Iterable[str]) -> UnsupportedMediaType:
    """Make the error about a file that is of no supported format.

    Args:
        head: its first bytes.
        supported: names of the supported formats.
    """
    head = head[:_HEAD_BYTES]
    for offset, magic, name, remedy in _UNSUPPORTED:
        if head[offset:].startswith(magic):
            return unsupported_error(name, remedy)
    text = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return unsupported_error("SVG drawing", "export it as PNG")
    if text.startswith((b"{", b"<")) and _is_text(head):
        return UnsupportedMediaType(
            "this is text, not a picture: perhaps an error page that was saved instead of it",
            WEB_PAGE,
        )
    return UnsupportedMediaType(
        f"not a picture of a format that is read here, by its content ({', '.join(supported)})",
        TEXT if _is_text(head) else "",
    )


def _is_text(head: bytes) -> bool:
    """Whether the first bytes of a file are UTF-8 without zeros; the last character may be cut."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and b"\0" not in head
    return b"\0" not in head
