"""The table of image formats: the first bytes, file name suffixes and reader of each format."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from service.errors import DamagedImage, UndecodableImage
from service.imaging.readers import jpeg, pillow_formats, png, tiff, webp
from service.imaging.readers.header import ImageHeader
from service.imaging.unsupported import explain_unsupported


@dataclass(frozen=True)
class ImageFormat:
    """An image format that Graft reads.

    Attributes:
        name: name of the format, as messages and manifests show it.
        suffixes: suffixes of file names, in lower case.
        pattern: regular expression that matches the first bytes of a file.
        read_header: function that takes the bytes of a file and the size of the model's input, and
            returns the `ImageHeader`.
    """

    name: str
    suffixes: tuple[str, ...]
    pattern: bytes
    read_header: Callable[[bytes, int], ImageHeader]

    def matches(self, first_bytes: bytes) -> bool:
        """Whether a file with these first bytes has this format."""
        return re.match(self.pattern, first_bytes, re.DOTALL) is not None


FORMATS: Final = (
    ImageFormat(
        "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), rb"\xff\xd8\xff", jpeg.read_header
    ),
    ImageFormat("PNG", (".png", ".apng"), rb"\x89PNG\r\n\x1a\n", png.read_header),
    ImageFormat("WebP", (".webp",), rb"RIFF.{4}WEBP", webp.read_header),
    ImageFormat(
        "AVIF",
        (".avif",),
        rb".{4}ftyp(avif|avis|m[is]f1.{4,40}avi[fs])",
        pillow_formats.read_avif_header,
    ),
    ImageFormat(
        "BMP",
        (".bmp", ".dib"),
        rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0{3}",
        pillow_formats.read_bmp_header,
    ),
    ImageFormat("GIF", (".gif",), rb"GIF8[79]a", pillow_formats.read_gif_header),
    ImageFormat(
        "HEIC",
        (".heic", ".heif", ".hif"),
        rb".{4}ftyp(hei[cxms]|hev[cx]|m[is]f1)",
        pillow_formats.read_heic_header,
    ),
    ImageFormat("TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]", tiff.read_header),
)
"""All formats that Graft reads. To add a format, add an entry."""

ALWAYS_ACCEPTED: Final = ("JPEG", "PNG", "WebP")
"""Formats that every model accepts. A model accepts another format only if some of its training
pictures have that format."""

SUFFIXES: Final = tuple(suffix for image_format in FORMATS for suffix in image_format.suffixes)
"""The file name suffixes of all formats that Graft reads."""


def identify_format(first_bytes: bytes, accepted: Sequence[str] = ()) -> ImageFormat:
    """Identify the format of a picture by its first bytes.

    Args:
        first_bytes: the first bytes of a file; 4 KiB are enough.
        accepted: names of the formats that an error suggests; all formats if empty.

    Raises:
        UndecodableImage: the file is empty, or the first bytes of a PNG were altered.
        UnsupportedMediaType: Graft does not read the format. If Graft recognises the format, the
            message names it and says what to do.
    """
    if not first_bytes:
        raise UndecodableImage("the picture is empty (0 bytes): choose a file that is not empty")
    for image_format in FORMATS:
        if image_format.matches(first_bytes):
            return image_format
    if first_bytes.startswith(b"\x89PNG"):
        raise DamagedImage(
            "the first bytes of the PNG were altered, probably by a transfer in text mode: "
            "transfer the file in binary mode"
        )
    raise explain_unsupported(first_bytes, accepted or [row.name for row in FORMATS])
