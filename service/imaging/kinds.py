"""The table of kinds: what starts how, who reads it, and what is known by name and not read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from service.errors import DamagedImage, UndecodableImage, UnsupportedMediaType
from service.imaging import by_pillow, jpeg, png, tiff, webp
from service.imaging.header import Header, unsupported


@dataclass(frozen=True)
class Kind:
    """A kind of picture that is read here.

    Attributes:
        name: as messages and manifests call it.
        suffixes: endings of file names, in lower case.
        start: a regular expression for the first bytes of a file.
        read_header: (data, size of the model's input) -> Header.
    """

    name: str
    suffixes: tuple[str, ...]
    start: bytes
    read_header: Callable[[bytes, int], Header]

    def starts(self, head: bytes) -> bool:
        return re.match(self.start, head, re.DOTALL) is not None


KINDS: Final = (
    Kind("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), rb"\xff\xd8\xff", jpeg.read_header),
    Kind("PNG", (".png", ".apng"), rb"\x89PNG\r\n\x1a\n", png.read_header),
    Kind("WebP", (".webp",), rb"RIFF.{4}WEBP", webp.read_header),
    Kind(
        "AVIF",
        (".avif",),
        rb".{4}ftyp(avif|avis|m[is]f1.{4,40}avi[fs])",
        by_pillow.read_avif_header,
    ),
    Kind(
        "BMP",
        (".bmp", ".dib"),
        rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0{3}",
        by_pillow.read_bmp_header,
    ),
    Kind("GIF", (".gif",), rb"GIF8[79]a", by_pillow.read_gif_header),
    Kind(
        "HEIC",
        (".heic", ".heif", ".hif"),
        rb".{4}ftyp(hei[cxms]|hev[cx]|m[is]f1)",
        by_pillow.read_heic_header,
    ),
    Kind("TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]", tiff.read_header),
)
"""Every kind that is read here; a line makes another."""

ALWAYS_ACCEPTED: Final = ("JPEG", "PNG", "WebP")
"""Kinds that every model takes; others where its training pictures had them."""

SUFFIXES: Final = tuple(suffix for kind in KINDS for suffix in kind.suffixes)
"""File names that are expected to hold a picture that is read here."""

RAW_SUFFIXES: Final = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".nef", ".nrw", ".orf", ".pef"),
    *(".raf", ".rw2", ".sr2", ".srw", ".x3f"),
)
"""Cameras' own files. Many are TIFF by their first bytes, with a thumbnail as the first page."""

OTHER_SUFFIXES: Final = (
    *(".jp2", ".j2k", ".jpx", ".jls", ".jxl", ".jxr", ".jng", ".svg", ".psd", ".xcf", ".ico"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".tga", ".exr", ".hdr", ".dds", ".qoi", ".dcm"),
    *RAW_SUFFIXES,
)
"""Those of pictures that are not, unless their content is another than their name says."""

_TO_JPEG: Final = "convert it to a JPEG or PNG"
_REFUSED: Final[tuple[tuple[int, bytes, str, str], ...]] = (
    (0, b"version https://git-lfs", "Git LFS pointer", "fetch the picture itself: git lfs pull"),
    (4, b"ftypcrx", "raw picture of a camera (CR3)", _TO_JPEG),
    (4, b"ftypqt", "QuickTime film", "take single frames of it, e.g. by ffmpeg"),
    (4, b"ftyp", "MP4 film", "take single frames of it, e.g. by ffmpeg"),
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
    (128, b"DICM", "DICOM", "convert it to a PNG, e.g. by dcmtk: dcm2img in.dcm out.png"),
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
    (0, b"\x89HDF", "HDF5", "store each picture in a file of its own"),
    (0, b"\x93NUMPY", "NumPy array", "store each picture in a file of its own"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM film", "take single frames of it, e.g. by ffmpeg"),
    (8, b"AVI ", "AVI film", "take single frames of it, e.g. by ffmpeg"),
    (8, b"WAVE", "WAV sound", "this is no picture"),
    (0, b"PK\3\4", "ZIP archive", "unpack it first"),
    (0, b"\x1f\x8b", "gzip data", "unpack it first"),
    (0, b"7z\xbc\xaf", "7-Zip archive", "unpack it first"),
    (0, b"Rar!", "RAR archive", "unpack it first"),
    (0, b"<svg", "SVG drawing", "export it as PNG"),
)  # fmt: skip
"""Offset, bytes there, the name of the kind, and what to do: the first match counts."""


def identify(head: bytes) -> Kind:
    """Tell the kind of a picture by its first bytes; 4 KiB are enough.

    Raises:
        UndecodableImage: there are no bytes, or a PNG that was transferred as text.
        UnsupportedMediaType: a kind that is not read here; the message names it, where it is known,
            and what to do.
    """
    if not head:
        raise UndecodableImage("the picture is empty (0 bytes)")
    for kind in KINDS:
        if kind.starts(head):
            return kind
    if head.startswith(b"\x89PNG"):
        raise DamagedImage(
            "the PNG's first bytes were altered, as a transfer as text does: send it as binary"
        )
    raise _refusal(head)


def _refusal(head: bytes) -> UnsupportedMediaType:
    for offset, magic, name, remedy in _REFUSED:
        if head[offset:].startswith(magic):
            return unsupported(name, remedy)
    known = ", ".join(kind.name for kind in KINDS)
    text = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return unsupported("SVG drawing", "export it as PNG")
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"{", b"<")):
        return UnsupportedMediaType(
            "this is text, not a picture: perhaps an error page that was saved in place of it"
        )
    return UnsupportedMediaType(
        f"not a picture of a kind that is read here, by its content ({known})"
    )
