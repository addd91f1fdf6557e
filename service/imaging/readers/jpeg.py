"""JPEG: its segments, and its pixels by simplejpeg (libjpeg-turbo).

Headers are parsed here and not by the decoder: libjpeg-turbo does not reduce lossless pictures, and
each scan costs a pass over the whole picture, even if it is empty.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from service.errors import DamagedImage
from service.imaging.readers.header import (
    ImageHeader,
    StoredPixels,
    damaged_error,
    unsupported_error,
)
from service.imaging.readers.orientation import read_orientation

_MAX_SEGMENTS: Final = 10_000
_MAX_JUNK_BYTES: Final = 65_536
"""Most bytes between two segments of the header; some cameras write a few."""

# Markers with a length. Others stand alone, or libjpeg skips them at a restart, but not their
# length: a parser that skipped the length too would miss the scans behind it.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_DHT, _DQT, _DRI, _SOS, _DNL, _DHP, _APP0, _APP1, _APP14 = (
    *(0xC4, 0xDB, 0xDD, 0xDA, 0xDC, 0xDE, 0xE0, 0xE1, 0xEE),
)
_TABLES: Final = (_DHT, _DQT, _DRI)
_NOT_FRAMES: Final = (_DHT, 0xC8, 0xCC)
"""Huffman tables, a reserved marker, arithmetic tables; the other markers C0 to CF are frames."""
_JFIF: Final = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_BASELINE, _EXTENDED, _PROGRESSIVE, _LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
_COLOURS: Final = {1: ("L", "GRAY"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK")}
"""Number of components -> mode in Pillow, colour space in simplejpeg."""
_TO_BASELINE: Final = (
    "convert it to a baseline JPEG or PNG, e.g. with ImageMagick: magick {} out.png"
)
_NANOSECONDS: Final = {"byte": 10.0, "pixel": 1.5, "scanned sample": 0.35, "decoded pixel": 12.0}


@dataclass(frozen=True)
class Frame:
    """A frame header (SOF), and what was found around it.

    `clean` is the file without metadata, junk between segments and bytes after its end; a missing
    end marker is added.
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
        """Memory in which libjpeg keeps a picture of several scans."""
        if self.process != _PROGRESSIVE and self.scans < 2:
            return 0
        maxima = [max(1, *factors) for factors in zip(*self.sampling, strict=True)]
        samples_per_pixel = sum(x * y for x, y in self.sampling) / (maxima[0] * maxima[1])
        return int(2 * self.width * self.height * samples_per_pixel)


def read_header(data: bytes, size: int) -> ImageHeader:
    """Read the headers of a JPEG that will be decoded for an input of `size` pixels.

    Raises:
        UnsupportedMediaType: its coding process, precision or components are not supported.
        UndecodableImage: it has no frame, or more segments or junk than any program writes.
    """
    frame = read_frame(data)
    pixels = frame.width * frame.height
    reduction = 1 if frame.is_lossless else _max_reduction(frame.width, frame.height, size)
    decoded = -(-frame.width // reduction) * -(-frame.height // reduction)
    channels = len(frame.sampling)
    nanoseconds = _NANOSECONDS["byte"] * len(frame.clean) + _NANOSECONDS["pixel"] * pixels
    nanoseconds += _NANOSECONDS["decoded pixel"] * decoded * (3 if frame.is_lossless else 1)
    if frame.coefficient_bytes:
        nanoseconds += _NANOSECONDS["scanned sample"] * frame.coefficient_bytes / 2 * frame.scans
    return ImageHeader(
        format="JPEG",
        width=frame.width,
        height=frame.height,
        mode=_COLOURS[channels][0],
        orientation=frame.orientation,
        memory_bytes=len(frame.clean) + frame.coefficient_bytes + 2 * decoded * channels,
        seconds=nanoseconds / 1e9,
        decode=lambda: _decode(frame, size, reduction),
    )


def _max_reduction(width: int, height: int, size: int) -> int:
    """Return libjpeg's largest reduction (1, 2, 4, 8) that keeps both sides at `size` or more."""
    return max(scale for scale in (1, 2, 4, 8) if scale <= max(1, min(width, height) // size))


def read_frame(data: bytes) -> Frame:
    """Parse all segments up to the end; raises as `read_header` does."""
    segments, exif, xmp = [_SOI], b"", b""
    frame, start, end, scans = b"", 0, 0, 0
    position = 2
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.search(data, position)
        if not scans and (match.start() if match else len(data)) - position > _MAX_JUNK_BYTES:
            raise DamagedImage(f"more than {_MAX_JUNK_BYTES:,} bytes between segments of the JPEG")
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
            segments.append(_JFIF)  # libjpeg warns of unknown versions
        elif marker == _APP1 and not exif and segment[4:10] == b"Exif\0\0":
            exif = segment[4:]
        elif marker == _APP1 and segment[4:33] == b"http://ns.adobe.com/xap/1.0/\0":
            xmp = segment[33:]
    else:
        raise DamagedImage(f"the JPEG has more than {_MAX_SEGMENTS:,} segments")
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
    """Return data from the first scan on; a sequential one gets the parameters libjpeg assumes."""
    length = int.from_bytes(data[2:4])
    if process not in (_BASELINE, _EXTENDED) or length < 6:
        return data
    return data[: length - 1] + b"\x00\x3f\x00" + data[length + 2 :]


def _reject_unsupported(frame: bytes, data: bytes) -> None:
    """Raise UnsupportedMediaType, with the name of the variant, if it cannot be decoded."""
    if len(frame) < 10:
        raise damaged_error("JPEG", data, "it has no frame header")
    process, bits, components = frame[1], frame[4], frame[9]
    name = ""
    if process == 0xF7:
        name = "JPEG-LS"
    elif process == _DHP or process in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF):
        name = "hierarchical JPEG"
    elif process in (0xC9, 0xCA, 0xCB):
        name = "arithmetic-coded JPEG"
    elif bits != 8:
        name = f"{'lossless ' if process == _LOSSLESS else ''}JPEG of {bits} bits per sample"
    elif components not in _COLOURS:
        name = f"JPEG of {components} components"
    elif not any(frame[5:7]):
        name = "JPEG with its height after its pixels (DNL)"
    if name:
        remedy = _TO_BASELINE.format("in.jls" if process == 0xF7 else "in.jpg")
        raise unsupported_error(name, remedy)


def _sampling_factors(frame: bytes, data: bytes) -> tuple[tuple[int, int], ...]:
    """Return each component's horizontal and vertical factor; reject frames that are not read."""
    _reject_unsupported(frame, data)
    factors = tuple((byte >> 4, byte & 15) for byte in frame[11 : 10 + 3 * frame[9] : 3])
    is_valid = all(1 <= factor <= 4 for pair in factors for factor in pair)
    if len(frame) < 10 + 3 * frame[9] or not any(frame[7:9]) or not is_valid:
        raise damaged_error("JPEG", data, "its frame header is cut short or invalid")
    for direction in zip(*factors, strict=True):
        if any(max(direction) % factor for factor in direction):
            raise unsupported_error(
                "JPEG of fractional sampling factors", _TO_BASELINE.format("in.jpg")
            )
    return factors


def _decode(frame: Frame, size: int, reduction: int) -> StoredPixels:
    channels = len(frame.sampling)
    height, width = -(-frame.height // reduction), -(-frame.width // reduction)
    # Room for the whole picture even at a reduction, because libjpeg may not reduce it. The system
    # allocates only the pages that are written.
    buffer = _allocate(frame.width * frame.height * channels)
    target = {} if frame.is_lossless else {"min_height": height, "min_width": width}
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            frame.clean, _COLOURS[channels][1], buffer=buffer, **target
        )
    except ValueError as error:
        if "subsampling" not in str(error):
            raise
        return _decode_with_pillow(frame, size)  # sampling factors that TurboJPEG does not know
    if pixels.shape != (height, width, channels):
        raise ValueError(f"decoded as {pixels.shape}, not {(height, width, channels)}")
    if channels == 4:  # stored inverted, as by Adobe
        return Image.frombuffer("CMYK", (width, height), 255 - pixels, "raw", "CMYK", 0, 1)
    return pixels[..., 0] if channels == 1 else pixels


def _allocate(size: int) -> NDArray[np.uint8]:
    """Allocate memory for libjpeg to write to."""
    return np.empty(size, np.uint8)


def _decode_with_pillow(frame: Frame, size: int) -> Image.Image:
    picture = JpegImageFile(io.BytesIO(frame.clean))
    if picture.size != (frame.width, frame.height):
        raise ValueError(f"opened as {picture.size}, not {(frame.width, frame.height)}")
    picture.draft(None, (size, size))
    picture.load()
    return picture
