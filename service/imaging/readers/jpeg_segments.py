"""Parse the segments of a JPEG file from the start to the end of the picture.

The decoder does not report two properties that determine the decoding time, so they are read here:
whether the picture is lossless (then it cannot be decoded at a reduced size), and the number of
scans. For each scan, even an empty one, the decoder processes the whole picture once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from service.errors import DamagedImage
from service.imaging.readers.header import damaged_error, unsupported_error
from service.imaging.readers.orientation import read_orientation

_MAX_SEGMENTS: Final = 10_000
_MAX_JUNK_BYTES: Final = 65_536
"""Limit on the bytes between two segments of the header. Some cameras write a few bytes there."""

_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
"""Matches the markers that start a segment, and the end marker. If libjpeg meets another marker, it
skips only its two bytes. This parser must do the same, or it could miss a scan."""
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_DHT, _DQT, _DRI, _SOS, _DNL, _DHP, _APP0, _APP1, _APP14 = (
    *(0xC4, 0xDB, 0xDD, 0xDA, 0xDC, 0xDE, 0xE0, 0xE1, 0xEE),
)
_TABLES: Final = (_DHT, _DQT, _DRI)
_NOT_FRAMES: Final = (_DHT, 0xC8, 0xCC)
"""The markers from C0 to CF that do not start a frame header: DHT (Huffman tables), JPG (reserved)
and DAC (tables for arithmetic coding)."""
_JFIF: Final = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
"""A JFIF segment of version 1.01, which replaces the JFIF segment of a file for the decoder."""
_SUPPORTED_COMPONENTS: Final = (1, 3, 4)
_BASELINE, _EXTENDED, _PROGRESSIVE, _LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
_TO_BASELINE: Final = (
    "convert it to a baseline JPEG or PNG, e.g. with ImageMagick: magick {} out.png"
)


@dataclass(frozen=True)
class Frame:
    """The frame header (SOF) of a JPEG, and other properties of the file.

    Attributes:
        process: second byte of the SOF marker, which identifies the coding process.
        bits: bits per sample.
        width, height: size in pixels, before the orientation is applied.
        sampling: horizontal and vertical sampling factors of each component.
        scans: number of scans.
        orientation: orientation in the metadata, numbered as in EXIF: 1 (upright) to 8.
        clean: a copy of the file for the decoder. It has an end marker, but no metadata, no bytes
            between the segments of the header, and no bytes after the picture.
    """

    process: int
    bits: int
    width: int
    height: int
    sampling: tuple[tuple[int, int], ...]
    scans: int
    orientation: int
    clean: bytes

    @property
    def is_lossless(self) -> bool:
        return self.process == _LOSSLESS

    @property
    def coefficient_bytes(self) -> int:
        """The number of bytes that libjpeg needs to store coefficients.

        It is 0 for a JPEG with one scan that is not progressive: libjpeg does not store its
        coefficients.
        """
        if self.process != _PROGRESSIVE and self.scans < 2:
            return 0
        maxima = [max(1, *factors) for factors in zip(*self.sampling, strict=True)]
        samples_per_pixel = sum(x * y for x, y in self.sampling) / (maxima[0] * maxima[1])
        return int(2 * self.width * self.height * samples_per_pixel)


def read_frame(data: bytes) -> Frame:
    """Parse the segments of a JPEG file from the start to the end of the picture.

    Raises:
        UnsupportedMediaType: the coding process, precision or components are not supported.
        DamagedImage: the file has no valid frame header, too many segments, or too many bytes
            between segments.
    """
    segments, exif, xmp = [_SOI], b"", b""
    frame, start, end, scans = b"", 0, 0, 0
    position = 2
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.search(data, position)
        if not scans and (match.start() if match else len(data)) - position > _MAX_JUNK_BYTES:
            raise DamagedImage(
                f"the JPEG has more than {_MAX_JUNK_BYTES:,} bytes between two segments; "
                "save it again in an image editor"
            )
        if not match:
            break
        marker, begin = data[match.end() - 1], match.start()
        if marker == _EOI[1]:
            end = match.end()
            break
        position = match.end() + max(2, int.from_bytes(data[match.end() : match.end() + 2]))
        segment = data[begin:position] if not scans and marker != _SOS else b""
        is_frame = 0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES
        if marker == _SOS:
            scans, start = scans + 1, start or begin
        elif marker in (_DHP, 0xF7) or (is_frame and not frame):
            frame = frame or data[begin:position]
        if marker in _TABLES or is_frame or (marker == _APP14 and segment[4:9] == b"Adobe"):
            segments.append(segment)
        elif marker == _APP0 and segment[4:9] == b"JFIF\0":
            segments.append(_JFIF)  # libjpeg warns about unknown versions of JFIF
        elif marker == _APP1 and not exif and segment[4:10] == b"Exif\0\0":
            exif = segment[4:]
        elif marker == _APP1 and segment[4:33] == b"http://ns.adobe.com/xap/1.0/\0":
            xmp = segment[33:]
    else:
        raise DamagedImage(
            f"the JPEG has more than {_MAX_SEGMENTS:,} segments; save it again in an image editor"
        )
    sampling = _sampling_factors(frame, data)
    if scans:
        segments.append(_scans(data[start : end or len(data)], frame[1]))
    return Frame(
        process=frame[1],
        bits=frame[4],
        height=int.from_bytes(frame[5:7]),
        width=int.from_bytes(frame[7:9]),
        sampling=sampling,
        scans=scans,
        orientation=read_orientation(exif, xmp),
        clean=b"".join([*segments, b"" if end else _EOI]),
    )


def _scans(data: bytes, process: int) -> bytes:
    """Return the scans of a JPEG as the decoder gets them.

    In a sequential JPEG, the last three bytes of a scan header must have fixed values. In the first
    scan header, they are set to these values, which libjpeg assumes in any case.

    Args:
        data: the file from the first scan on.
        process: the coding process, as in `Frame`.
    """
    length = int.from_bytes(data[2:4])
    if process not in (_BASELINE, _EXTENDED) or length < 6:
        return data
    return data[: length - 1] + b"\x00\x3f\x00" + data[length + 2 :]


def _reject_unsupported(frame: bytes, data: bytes) -> None:
    """Raise an error if the frame header shows that this variant of JPEG cannot be decoded.

    Args:
        frame: the segment of the frame header.
        data: the bytes of the file.

    Raises:
        UnsupportedMediaType: this variant of JPEG cannot be decoded.
        DamagedImage: the frame header is missing.
    """
    if len(frame) < 10:
        raise damaged_error("JPEG", data, "the frame header is missing")
    process, bits, components = frame[1], frame[4], frame[9]
    name = ""
    if process == 0xF7:
        name = "JPEG-LS"
    elif process == _DHP or process in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF):
        name = "hierarchical JPEG"
    elif process in (0xC9, 0xCA, 0xCB):
        name = "arithmetic-coded JPEG"
    elif bits != 8:
        name = f"{'lossless ' if process == _LOSSLESS else ''}JPEG with {bits} bits per sample"
    elif components not in _SUPPORTED_COMPONENTS:
        name = f"JPEG with {components} components"
    elif not any(frame[5:7]):
        name = "JPEG whose height is stored after its pixels (DNL)"
    if name:
        remedy = _TO_BASELINE.format("in.jls" if process == 0xF7 else "in.jpg")
        raise unsupported_error(name, remedy)


def _sampling_factors(frame: bytes, data: bytes) -> tuple[tuple[int, int], ...]:
    """Return the horizontal and vertical sampling factors of each component.

    Args:
        frame: the segment of the frame header.
        data: the bytes of the file.

    Raises:
        UnsupportedMediaType: this variant of JPEG cannot be decoded.
        DamagedImage: the frame header is missing, cut short or invalid.
    """
    _reject_unsupported(frame, data)
    factors = tuple((byte >> 4, byte & 15) for byte in frame[11 : 10 + 3 * frame[9] : 3])
    is_valid = all(1 <= factor <= 4 for pair in factors for factor in pair)
    if len(frame) < 10 + 3 * frame[9] or not any(frame[7:9]) or not is_valid:
        raise damaged_error("JPEG", data, "the frame header is cut short or invalid")
    for direction in zip(*factors, strict=True):
        if any(max(direction) % factor for factor in direction):
            raise unsupported_error(
                "JPEG with fractional sampling factors", _TO_BASELINE.format("in.jpg")
            )
    return factors
