"""The one decoder: bytes of a picture in, RGB uint8 at the model's input size out.

Training and serving both call `decode`, so the two can never disagree about a pixel.
The rules, each held by a picture in tests/service/test_imaging.py:

- the format is read from the content (JPEG, PNG, WebP), never from a name or a header;
- EXIF orientation is applied; the first frame of an animation counts;
- gray becomes R=G=B; 16 bits become the upper 8; CMYK is converted; palettes are looked up;
- transparency is laid over white, as a page would show it;
- the picture is stretched to a square with an antialiased bilinear filter. Nothing is cropped:
  stretching measured 0.883 against 0.868 for a centre crop (flowers, MobileNetV2 0.35,
  frozen features, mean of 8 splits);
- a large JPEG is decoded at the smallest of libjpeg's halved sizes that is not below the input
  size (24 ms in place of 101 ms for 12 megapixels).

Pillow could do all of it. Two parts are done by faster libraries, for a 500 x 375 JPEG at 224 px
in 0.64 ms in place of 1.22: ordinary colour JPEGs are decoded by simplejpeg, to the same bits, and
pictures up to 2.25 times the input size are resized by OpenCV. Its pixels differ from Pillow's by
less than 1 level on average (0.7 measured on photographs, 1.9 for the most detailed one), and 48 at
any place (30 measured).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from typing import Final

import cv2
import numpy as np
import PIL
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from service.errors import (
    PayloadTooLarge,
    RequestError,
    UndecodableImage,
    UnsupportedMediaType,
)
from service.structure import (
    count_scans,
    is_lossless_jpeg,
    refuse_many_chunks,
    refuse_many_scans,
    webp_canvas,
)

MAX_PIXELS: Final = 50_000_000
"""Default limit on width times height: above any phone's normal photo, 150 MB once decoded."""

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp")
"""File names that are expected to hold a picture that `decode` reads."""

OTHER_SUFFIXES: Final = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl"),
    *(".pgm", ".ppm", ".svg", ".tif", ".tiff"),
)
"""Those of pictures that it does not, unless their content is another than their name says."""

DECODER: Final = (
    f"graft-2 pillow-{PIL.__version__} opencv-{cv2.__version__} "
    f"simplejpeg-{metadata.version('simplejpeg')}"
)
"""Recorded with every model: another decoder may give other pixels."""

_SMOOTHED: Final = 2.25
"""Largest scale at which the three weights are a smoothing: beyond it the middle one fades."""

# Pillow warns of each damaged EXIF tag: a picture could fill the log with 65,535 lines, and Python
# would remember every one of them.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
cv2.setNumThreads(1)  # pictures are decoded side by side: more threads would only meet each other

_EXIF_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow's readers are called directly: Image.open would try every format that Pillow knows
# and answers large pictures with a process-wide warning in place of our own limit.
_READERS: Final[dict[str, Callable[[io.BytesIO], ImageFile]]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
}


def sniff(data: bytes) -> str:
    """Name the format of a picture by its first bytes: `JPEG`, `PNG` or `WebP`.

    Raises:
        UndecodableImage: there are no bytes.
        UnsupportedMediaType: the bytes are something else.
    """
    if not data:
        raise UndecodableImage("the picture is empty (0 bytes)")
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    raise UnsupportedMediaType("not a JPEG, PNG or WebP picture (by its content)")


def decode(data: bytes, size: int, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a picture.

    Args:
        data: the bytes of a JPEG, PNG or WebP file.
        size: side of the model's square input, in pixels.
        max_pixels: refuse pictures with more pixels (width times height) before decoding them.

    Returns:
        (size, size, 3) uint8, RGB, 0..255.

    Raises:
        UnsupportedMediaType, UndecodableImage, PayloadTooLarge.
    """
    format_name = sniff(data)
    scans = count_scans(data) if format_name == "JPEG" else 0
    width, height = webp_canvas(data) if format_name == "WebP" else (0, 0)
    if format_name == "PNG":
        refuse_many_chunks(data)
    try:
        if width * height <= max_pixels:
            picture = _READERS[format_name](io.BytesIO(data))
            width, height = picture.size
        if width * height <= max_pixels:
            refuse_many_scans(scans, width * height, max_pixels)
            return _to_input(picture, size, data)
    except RequestError:
        raise
    except Exception as error:
        # Pillow's readers raise a dozen types on damaged bytes; all mean the same to the caller.
        raise UndecodableImage(
            f"the {format_name} data is damaged or cut short ({len(data):,} bytes)"
        ) from error
    raise PayloadTooLarge(
        f"the picture has {width} x {height} = {width * height:,} pixels; "
        f"at most {max_pixels:,} are accepted: send a smaller one"
    )


def _to_input(picture: ImageFile, size: int, data: bytes) -> NDArray[np.uint8]:
    square = _resized(_pixels(picture, size, data), size)
    turn = _UPRIGHT.get(_orientation(picture))
    if turn is not None:  # turning the small square gives the same pixels for less work
        square = np.array(Image.fromarray(square).transpose(turn))
    return square


def _pixels(picture: ImageFile, size: int, data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, of a JPEG at the smallest of its halved sizes that is not below `size`."""
    if is_lossless_jpeg(data):  # libjpeg would write the whole picture where a reduced one fits
        picture.load()
        return np.asarray(_to_rgb(picture))
    picture.draft(None, (size, size))  # only JPEG has reduced sizes; a no-op elsewhere
    if picture.format == "JPEG" and picture.mode == "RGB":
        width, height = picture.size
        with suppress(ValueError):  # damaged, or odd: Pillow decides which
            # Into memory of the size that was checked: its own look at the header decides nothing.
            page = np.empty((height, width, 3), np.uint8)
            pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
                data, "RGB", min_height=height, min_width=width, buffer=page
            )
            if pixels.shape == page.shape:
                return pixels
    picture.load()
    return np.asarray(_to_rgb(picture))


def _resized(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    height, width, _ = pixels.shape
    if max(height, width) > _SMOOTHED * size:
        return np.array(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
    if max(height, width) > size:
        across, down = _smoothing(width / size), _smoothing(height / size)
        smooth = cv2.sepFilter2D(pixels, -1, across, down, borderType=cv2.BORDER_REPLICATE)
        pixels = np.asarray(smooth, np.uint8)
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _smoothing(scale: float) -> NDArray[np.float32]:
    """Three weights that make linear interpolation as broad as Pillow's filter.

    That is a triangle `scale` pixels to each side, of variance scale^2 / 6; interpolation alone
    has 1 / 6, and the weights [w, 1 - 2w, w] add 2w.
    """
    weight = max(0.0, (scale**2 - 1) / 12)
    return np.array([weight, 1 - 2 * weight, weight], np.float32)


def _orientation(picture: ImageFile) -> int:
    try:
        return int(picture.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # damaged metadata around a sound picture: as good as none
        return 1


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16-bit gray
        values = np.asarray(picture)
        if values.dtype != np.uint16:  # 32-bit integers, of which the lower 16 count
            values = values.clip(0, 0xFFFF).astype(np.uint16)
        picture = Image.fromarray((values >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        page = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(page, layered).convert("RGB")
    return picture.convert("RGB")
