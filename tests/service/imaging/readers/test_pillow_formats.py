from __future__ import annotations

import io
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import DamagedImage, PayloadTooLarge, UnsupportedMediaType
from service.imaging import decode, inspect
from service.imaging.readers.pillow_formats import read_gif_header


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_gif_is_its_first_frame_and_comments_are_ignored() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("lime", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"x" * 5000)
    assert read_gif_header(data, 8).frames == 2
    assert (decode(data, 8) == (0, 255, 0)).all()
    comment = b"!\xfe" + b"\xffy" * 0 + (b"\xff" + b"y" * 255) * 100_000 + b"\0"
    start = data.index(b"!")
    assert (decode(data[:start] + comment + data[start:], 8) == (0, 255, 0)).all()


def test_clear_pixels_of_a_gif_are_white() -> None:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 10, 200, 30])
    picture.paste(0, (0, 0, 8, 4))
    pixels = decode(encode(picture, "GIF", transparency=0), 8)
    assert (pixels[:4] == 255).all()
    assert (pixels[4:] == (10, 200, 30)).all()


def test_a_canvas_of_gigapixels_is_refused() -> None:
    data = bytearray(encode(Image.new("P", (8, 8)), "GIF"))
    data[6:10] = b"\xff\xff\xff\xff"
    with pytest.raises(PayloadTooLarge, match="65535 x 65535"):
        decode(bytes(data), 8)


@pytest.mark.parametrize(("side", "length"), [(3000, 4_000_000), (4000, 100)])
def test_a_compressed_bmp_costs_more(side: int, length: int) -> None:
    """Pillow decodes run-length encoding in Python, and pixel by pixel if lines end early."""
    head = b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078)
    head += struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    with pytest.raises(PayloadTooLarge, match="decoding it takes about"):
        decode(head + bytes(1024) + b"\1\7" * length, 8)


def test_a_bmp_with_unusual_masks_is_refused_and_reserved_bytes_are_ignored() -> None:
    head = b"BM" + struct.pack("<IHHI", 0, 7, 7, 66)
    head += struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 16, 3, 0, 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF00, 0xF0, 0xF)
    with pytest.raises(UnsupportedMediaType, match="a variant of BMP"):
        decode(head + masks + bytes(32), 4)


def test_the_screen_around_the_first_gif_frame_is_white() -> None:
    data = bytearray(encode(Image.new("RGB", (8, 8), "red"), "GIF"))
    data[6:10] = struct.pack("<HH", 16, 8)  # the screen
    pixels = decode(bytes(data), 16)
    assert (pixels[:, :7] == (255, 0, 0)).all()
    assert (pixels[:, 9:] == 255).all()


def test_endless_blocks_of_a_gif_are_refused_at_once() -> None:
    data = encode(Image.new("P", (8, 8)), "GIF")
    comments = b"!\xfe" + b"\1y" * 200_000 + b"\0"
    with pytest.raises(DamagedImage, match="blocks"):
        decode(data[:-1] + comments * 3 + b";", 8)


@pytest.mark.parametrize("kind", ["AVIF", "BMP", "GIF"])
def test_truncated_files_are_damaged(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encode(Image.fromarray(noise), kind)
    for fraction in (0.1, 0.5, 0.9):
        with pytest.raises(DamagedImage):
            decode(data[: int(fraction * len(data))], 32)


def test_the_orientation_of_an_avif_is_applied() -> None:
    picture = Image.new("RGB", (64, 32), "red")
    picture.paste("blue", (0, 0, 64, 16))
    exif = Image.Exif()
    exif[0x0112] = 3
    pixels = decode(encode(picture, "AVIF", exif=exif.tobytes(), quality=90), 16).astype(int)
    assert pixels[-1, 0, 2] - pixels[-1, 0, 0] > 150
    assert pixels[0, 0, 0] - pixels[0, 0, 2] > 150


def test_heic_is_read_with_the_extra() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    pillow_heif.register_heif_opener()
    data = encode(Image.new("RGB", (64, 64), (200, 30, 10)), "HEIF", quality=90)
    image = inspect(data, 16)
    assert (image.header.format, image.header.width) == ("HEIC", 64)
    assert abs(image.pixels.astype(int) - (200, 30, 10)).max() <= 6
    with pytest.raises(DamagedImage):
        decode(data[: len(data) // 2], 16)


def test_the_header_of_a_gif_that_is_cut_raises_no_other_error() -> None:
    data = encode(Image.new("P", (8, 8)), "GIF")
    for end in range(13, len(data)):
        with suppress(DamagedImage):  # another error fails the test
            read_gif_header(data[:end], 8)
    with pytest.raises(DamagedImage, match="the header of the frame is cut short"):
        read_gif_header(data[: data.index(b",") + 5], 8)
