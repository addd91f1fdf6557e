from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import DamagedImage, PayloadTooLarge
from service.imaging import Limits, decode
from service.imaging.readers.webp import read_header


def encode(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WebP", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("options", "mode", "frames"),
    [
        ({}, "RGB", 1),
        ({"lossless": True}, "RGB", 1),
        ({"exif": b"Exif\0\0"}, "RGB", 1),
        ({"save_all": True, "append_images": [Image.new("RGB", (64, 48))]}, "RGB", 2),
    ],
    ids=["lossy", "lossless", "extended", "animated"],
)
def test_the_canvas_size_is_checked_before_memory_is_allocated(
    options: dict[str, Any], mode: str, frames: int
) -> None:
    data = encode(Image.new("RGB", (64, 48), "red"), **options)
    header = read_header(data, 32)
    assert (header.width, header.height, header.mode, header.frames) == (64, 48, mode, frames)
    with pytest.raises(PayloadTooLarge, match="64 x 48 = 3,072 pixels"):
        decode(data, 32, Limits(pixels=3071))


@pytest.mark.parametrize("lossless", [True, False])
def test_transparency_is_known_from_the_header(lossless: bool) -> None:
    data = encode(Image.new("RGBA", (64, 48), (255, 0, 0, 51)), lossless=lossless)
    assert read_header(data, 32).is_transparent
    assert abs(decode(data, 16).astype(int) - (255, 204, 204)).max() <= 3


def test_a_first_frame_smaller_than_its_canvas_lies_on_white() -> None:
    frames = [Image.new("RGBA", (64, 64)), Image.new("RGBA", (64, 64), "blue")]
    frames[0].paste((255, 0, 0, 255), (32, 0, 64, 32))
    data = bytearray(encode(frames[0], save_all=True, append_images=frames[1:], lossless=True))
    offset = data.index(b"ANMF") + 8
    # if the encoder did not crop the frame
    if int.from_bytes(data[offset + 6 : offset + 9], "little") + 1 == 64:
        single = encode(Image.new("RGB", (32, 32), "red"), lossless=True)[12:]
        box = b"".join(number.to_bytes(3, "little") for number in (16, 0, 31, 31, 100)) + b"\0"
        body = box + single
        frame = b"ANMF" + len(body).to_bytes(4, "little") + body
        head = bytes(data[12 : offset - 8])
        chunks = head + frame + frame
        data = bytearray(b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WEBP" + chunks)
    pixels = decode(bytes(data), 64)
    assert (pixels[4:28, 36:60] == (255, 0, 0)).all()
    assert (pixels[36:, :28] == 255).all()


@pytest.mark.parametrize("length", [13, 20, 30, 60, -1])
def test_truncated_files_are_damaged(length: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    with pytest.raises(DamagedImage):
        decode(encode(Image.fromarray(noise), lossless=True)[:length], 32)
