from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import DamagedImage, PayloadTooLarge, UnsupportedMediaType
from service.imaging import decode
from service.imaging.readers.tiff import read_header

Entry = tuple[int, int, int, int]
"""Tag, type, count, value."""


def encode(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF", **options)
    return buffer.getvalue()


def tiff(entries: list[Entry], data: bytes = b"", order: str = "<") -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    parts = [struct.pack(order + "HHI", tag, kind, count) + _value(order, kind, value)
             for tag, kind, count, value in entries]  # fmt: skip
    directory = struct.pack(order + "H", len(parts)) + b"".join(parts) + bytes(4)
    return start + struct.pack(order + "I", 8 + len(data)) + data + directory


def _value(order: str, kind: int, value: int) -> bytes:
    return struct.pack(order + ("H" if kind == 3 else "I"), value).ljust(4, b"\0")


def gray(bits: int = 16, photometric: int = 1, samples: int = 1, order: str = "<") -> bytes:
    """An uncompressed gray picture of 8 x 8 pixels."""
    values = np.arange(64 * samples) * (60 if bits == 16 else 1)
    data = values.astype(f"{order}u{bits // 8}").tobytes()
    rows: list[Entry] = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, bits), (259, 3, 1, 1)]
    rows += [(262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, samples), (278, 3, 1, 8)]
    return tiff([*rows, (279, 4, 1, len(data))], data, order)


@pytest.mark.parametrize("order", "<>")
def test_16_bits_are_read_in_both_byte_orders(order: str) -> None:
    data = gray(order=order)
    header = read_header(data, 8)
    assert (header.bits, header.mode, header.width) == (16, "L", 8)
    expected = np.arange(64).reshape(8, 8) * 60
    np.testing.assert_array_equal(decode(data, 8, significant_bits=12)[..., 0], expected >> 4)
    np.testing.assert_array_equal(decode(data, 8)[..., 0], expected >> 8)


def test_16_bits_of_colour_keep_their_lower_bits() -> None:
    cv2 = pytest.importorskip("cv2")
    values = np.arange(192, dtype=np.uint16).reshape(8, 8, 3) * 5
    data = cv2.imencode(".tif", values[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode(data, 8, significant_bits=10), values >> 2)


def test_white_may_be_zero() -> None:
    pixels = decode(gray(photometric=0), 8)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert decode(gray(bits=8, photometric=0), 8)[0, 0].tolist() == [255, 255, 255]


def rgb(*extra_entries: Entry, samples: int = 3, bits: int = 16) -> bytes:
    """A picture of 8 x 8 pixels whose samples increase by 200."""
    data = (np.arange(64 * samples) * 200).astype(f"<u{bits // 8}").tobytes()
    entries: list[Entry] = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, bits), (259, 3, 1, 1)]
    entries += [(262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, samples), (278, 3, 1, 8)]
    return tiff(sorted([*entries, (279, 4, 1, len(data)), *extra_entries]), data)


def test_a_fourth_sample_that_is_not_alpha_is_ignored() -> None:
    expected = (np.arange(64 * 4) * 200).reshape(8, 8, 4)[..., :3] >> 8
    np.testing.assert_array_equal(decode(rgb((338, 3, 1, 0), samples=4), 8), expected)


def test_premultiplied_gray_is_laid_over_white() -> None:
    data = bytearray(encode(Image.new("LA", (8, 8), (0, 255))))
    offset = data.index(struct.pack("<HH", 338, 3)) + 8
    data[offset : offset + 2] = b"\1\0"
    assert (decode(bytes(data), 8) == 0).all()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (rgb((284, 3, 1, 2)), "16-bit TIFF with separate planes"),
        (rgb((338, 3, 1, 1), samples=4), "16-bit TIFF with premultiplied alpha"),
        (gray(samples=3), "TIFF with 3 channels"),
        (gray(samples=5), "TIFF with 5 channels"),
        (gray(photometric=8), "TIFF with colour space 8"),
        (gray(photometric=32803), "raw camera picture"),
        (encode(Image.new("F", (8, 8))), "floating-point"),
        (encode(Image.new("I", (8, 8))), "signed"),
        (b"II+\0\x08\0\0\0" + bytes(40), "BigTIFF"),
        (tiff([(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 12), (262, 3, 1, 1), (273, 4, 1, 8)]),
         "TIFF with 12 bits"),
        (tiff([(256, 3, 1, 8), (257, 3, 1, 8), (259, 3, 1, 34712), (262, 3, 1, 1)]),
         "TIFF with compression 34712"),
    ],
)  # fmt: skip
def test_unsupported_variants_are_refused_by_name(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=name):
        decode(data, 8)


def test_the_first_page_is_read_upright() -> None:
    red, blue = (Image.new("RGB", (16, 8), colour) for colour in ("red", "blue"))
    red.paste("green", (0, 0, 16, 4))
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encode(red, save_all=True, append_images=[blue], exif=exif)
    header = read_header(data, 8)
    assert (header.frames, header.orientation) == (2, 3)
    pixels = decode(data, 8)
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[-1, 0].tolist() == [0, 128, 0]


def test_tags_that_point_at_the_whole_file_are_not_read() -> None:
    """Pillow would copy a megabyte for each of 30,000 tags."""
    data = encode(Image.new("RGB", (8, 8), "red"))
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    entries = [
        data[offset : offset + 12] for offset in range(start + 2, start + 2 + 12 * count, 12)
    ]
    large_entries = [struct.pack("<HHII", tag, 7, 1_000_000, 8) for tag in range(40_000, 43_000)]
    padded = data + bytes(1_000_000 - len(data) % 2)
    directory_offset = len(padded)
    directory = (
        struct.pack("<H", len(entries) + len(large_entries))
        + b"".join(entries + large_entries)
        + bytes(4)
    )
    data_with_tags = padded[:4] + struct.pack("<I", directory_offset) + padded[8:] + directory
    assert (decode(data_with_tags, 8) == (255, 0, 0)).all()


@pytest.mark.parametrize("data", [b"II*\0", b"II*\0\xff\xff\xff\xff", gray()[:-30], gray()[:60]])
def test_damage_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedImage):
        decode(data, 8)


@pytest.mark.parametrize("missing_bytes", [10, 100, 200])
def test_pixels_that_end_beyond_the_file_are_damage(missing_bytes: int) -> None:
    """Otherwise, bytes after the end of the file would be read as pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    data = encode(Image.fromarray(noise))
    assert (decode(data, 32) == noise).all()
    with pytest.raises(DamagedImage, match="past the end of the file"):
        decode(data[:-missing_bytes], 32)


def test_a_tile_costs_its_full_size() -> None:
    """A tile of 16,000 x 16,000 pixels in a picture of 64 x 64 needs 732 MB."""
    entries: list[Entry] = [(256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 1, 8), (259, 3, 1, 8)]
    entries += [(262, 3, 1, 1), (277, 3, 1, 1), (322, 4, 1, 30_000), (323, 4, 1, 30_000)]
    data = tiff([*entries, (324, 4, 1, 8), (325, 4, 1, 100)], bytes(100))
    with pytest.raises(PayloadTooLarge, match="takes 900 MB of memory"):
        decode(data, 32)
    small = tiff([*entries[:-2], (322, 4, 1, 6000), (323, 4, 1, 6000), (324, 4, 1, 8)], bytes(100))
    header = read_header(small, 32)
    assert header.memory_bytes > 36_000_000
    assert header.seconds > 0.1
