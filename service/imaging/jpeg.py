"""JPEG: what its segments say, and its pixels by simplejpeg (libjpeg-turbo).

Headers are read here, not by the decoder, since libjpeg-turbo does not scale lossless pictures,
and each scan goes over the whole picture, also when it holds nothing.
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
from service.imaging.header import Header, Pixels, damaged, orientation_of, unsupported

_MAX_SEGMENTS: Final = 10_000
_MAX_JUNK: Final = 65_536
"""Most bytes between two segments of the header: some cameras leave a few."""

# What libjpeg takes for the start of a segment. All else stands alone, or is skipped by it at a
# restart without its length: following one would hide the scans behind it.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_DHT, _DQT, _DRI, _SOS, _DNL, _DHP, _APP0, _APP1, _APP14 = (
    *(0xC4, 0xDB, 0xDD, 0xDA, 0xDC, 0xDE, 0xE0, 0xE1, 0xEE),
)
_TABLES: Final = (_DHT, _DQT, _DRI)
_NO_FRAMES: Final = (_DHT, 0xC8, 0xCC)
"""Huffman tables, a reserved marker and arithmetic tables; other markers C0 to CF are frames."""
_JFIF: Final = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_BASELINE, _EXTENDED, _PROGRESSIVE, _LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
_COLOURS: Final = {1: ("L", "GRAY"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK")}
"""Components -> Pillow's name, simplejpeg's name."""
_TO_BASELINE: Final = "convert it to a baseline JPEG or PNG, e.g. by ImageMagick: magick {} out.png"
_NANOSECONDS: Final = {"byte": 10.0, "pixel": 1.5, "scanned sample": 0.35, "whole pixel": 12.0}


@dataclass(frozen=True)
class Frame:
    """A frame header (SOF), and what lies around it.

    `clean` is the picture without what the decoder need not see: metadata, junk between segments,
    and what follows its end; with an end, should it lack one.
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
        """What libjpeg keeps of the whole picture where it comes in several scans."""
        if self.process != _PROGRESSIVE and self.scans < 2:
            return 0
        most = [max(1, *sides) for sides in zip(*self.sampling, strict=True)]
        share = sum(across * down for across, down in self.sampling) / (most[0] * most[1])
        return int(2 * self.width * self.height * share)


def read_header(data: bytes, size: int) -> Header:
    """Read the headers of a JPEG that will be decoded for an input of `size` pixels.

    Raises:
        UnsupportedMediaType: a process, precision or number of components that is not read here.
        UndecodableImage: no frame, or more segments or junk than any program writes.
    """
    frame = read_frame(data)
    pixels = frame.width * frame.height
    halvings = 1 if frame.is_lossless else _reduction(frame.width, frame.height, size)
    decoded = -(-frame.width // halvings) * -(-frame.height // halvings)
    channels = len(frame.sampling)
    nanoseconds = _NANOSECONDS["byte"] * len(frame.clean) + _NANOSECONDS["pixel"] * pixels
    nanoseconds += _NANOSECONDS["whole pixel"] * decoded * (3 if frame.is_lossless else 1)
    if frame.coefficient_bytes:
        nanoseconds += _NANOSECONDS["scanned sample"] * frame.coefficient_bytes / 2 * frame.scans
    return Header(
        kind="JPEG",
        width=frame.width,
        height=frame.height,
        mode=_COLOURS[channels][0],
        orientation=frame.orientation,
        memory_bytes=len(frame.clean) + frame.coefficient_bytes + 2 * decoded * channels,
        seconds=nanoseconds / 1e9,
        read=lambda: _read(frame, size, halvings),
    )


def _reduction(width: int, height: int, size: int) -> int:
    """The largest of libjpeg's halvings whose result is not below `size` on either side."""
    return max(scale for scale in (1, 2, 4, 8) if scale <= max(1, min(width, height) // size))


def read_frame(data: bytes) -> Frame:
    """Walk from segment to segment, up to the end; raises what `read_header` raises."""
    parts, exif, xmp = [_SOI], b"", b""
    frame, start, end, scans = b"", 0, 0, 0
    position = 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if not scans and (found.start() if found else len(data)) - position > _MAX_JUNK:
            raise DamagedImage(f"more than {_MAX_JUNK:,} bytes between segments of the JPEG")
        if not found:
            break
        marker, begin = data[found.end() - 1], found.start()
        if marker == _EOI[1]:
            end = found.end()
            break
        position = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2]))
        segment = data[begin:position] if not scans and marker != _SOS else b""
        is_frame = 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES
        if marker == _SOS:
            scans, start = scans + 1, start or begin
        elif marker in (_DHP, 0xF7) or (is_frame and not frame):
            frame = frame or data[begin:position]
        if marker in _TABLES or is_frame or (marker == _APP14 and segment[4:9] == b"Adobe"):
            parts.append(segment)
        elif marker == _APP0 and segment[4:9] == b"JFIF\0":
            parts.append(_JFIF)  # whatever version it names: libjpeg warns of those to come
        elif marker == _APP1 and not exif and segment[4:10] == b"Exif\0\0":
            exif = segment[4:]
        elif marker == _APP1 and segment[4:33] == b"http://ns.adobe.com/xap/1.0/\0":
            xmp = segment[33:]
    else:
        raise DamagedImage(f"the JPEG has more than {_MAX_SEGMENTS:,} segments")
    sampling = _sampling(frame, data)
    if scans:
        parts.append(_scans(data[start : end or len(data)], frame[1]))
    return Frame(
        process=frame[1],
        bits=frame[4],
        height=int.from_bytes(frame[5:7]),
        width=int.from_bytes(frame[7:9]),
        sampling=sampling,
        scans=scans,
        orientation=orientation_of(exif, xmp),
        clean=b"".join([*parts, b"" if end else _EOI]),
    )


def _scans(data: bytes, process: int) -> bytes:
    """From the first scan on; a sequential one gets the parameters that libjpeg assumes anyway."""
    length = int.from_bytes(data[2:4])
    if process not in (_BASELINE, _EXTENDED) or length < 6:
        return data
    return data[: length - 1] + b"\x00\x3f\x00" + data[length + 2 :]


def _refuse_kind(frame: bytes, data: bytes) -> None:
    """Raise UnsupportedMediaType for a frame of a kind that is not read here, by its name."""
    if len(frame) < 10:
        raise damaged("JPEG", data, "it has no frame header")
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
        name = "JPEG whose height comes after its pixels (DNL)"
    if name:
        remedy = _TO_BASELINE.format("in.jls" if process == 0xF7 else "in.jpg")
        raise unsupported(name, remedy)


def _sampling(frame: bytes, data: bytes) -> tuple[tuple[int, int], ...]:
    """The horizontal and vertical factors of each component; refuses frames of other kinds."""
    _refuse_kind(frame, data)
    factors = tuple((byte >> 4, byte & 15) for byte in frame[11 : 10 + 3 * frame[9] : 3])
    is_sound = all(1 <= factor <= 4 for pair in factors for factor in pair)
    if len(frame) < 10 + 3 * frame[9] or not any(frame[7:9]) or not is_sound:
        raise damaged("JPEG", data, "its frame header is cut short or makes no sense")
    for own in zip(*factors, strict=True):
        if any(max(own) % factor for factor in own):
            raise unsupported("JPEG of fractional sampling factors", _TO_BASELINE.format("in.jpg"))
    return factors


def _read(frame: Frame, size: int, halvings: int) -> Pixels:
    channels = len(frame.sampling)
    height, width = -(-frame.height // halvings), -(-frame.width // halvings)
    # Room for the whole picture, also where a reduced one is asked for: libjpeg may not reduce it.
    # The system gives memory only for what is written.
    room = _room(frame.width * frame.height * channels)
    reduced = {} if frame.is_lossless else {"min_height": height, "min_width": width}

    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            frame.clean, _COLOURS[channels][1], buffer=room, **reduced
        )
    except ValueError as error:
        if "subsampling" not in str(error):
            raise
        return _read_by_pillow(frame, size)  # factors that TurboJPEG has no name for
    if pixels.shape != (height, width, channels):
        raise ValueError(f"decoded as {pixels.shape}, not {(height, width, channels)}")
    if channels == 4:  # Adobe stores ink inverted, and so do all others
        return Image.frombuffer("CMYK", (width, height), 255 - pixels, "raw", "CMYK", 0, 1)
    return pixels[..., 0] if channels == 1 else pixels


def _room(size: int) -> NDArray[np.uint8]:
    """Memory that libjpeg may write to."""
    return np.empty(size, np.uint8)


def _read_by_pillow(frame: Frame, size: int) -> Image.Image:
    picture = JpegImageFile(io.BytesIO(frame.clean))
    if picture.size != (frame.width, frame.height):
        raise ValueError(f"opened as {picture.size}, not {(frame.width, frame.height)}")
    picture.draft(None, (size, size))
    picture.load()
    return picture
