from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from drawn import chunk
from numpy.typing import NDArray
from PIL import Image

from service.errors import DamagedImage, PayloadTooLarge, UnsupportedMediaType
from service.imaging import decode
from service.imaging.readers.png import read_header

EMPTY_CHUNK = chunk(b"abCd", b"")


def encode(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def wave() -> NDArray[np.uint8]:
    return (np.indices((24, 24)).sum(0)[..., None] * (5, 3, 1) % 256).astype(np.uint8)


def png(width: int, height: int, bits: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """Write a PNG; each of the `rows` begins with its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def deep(samples: NDArray[np.uint16], colour: int, extra: bytes = b"") -> bytes:
    """(H, W, channels) -> a PNG of 16 bits per sample."""
    height, width, _ = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png(width, height, 16, colour, rows, extra)


@pytest.mark.parametrize(
    "metadata",
    [
        chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(1_200_000))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(1_200_000))),
        chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"tEXt", b"workflow\0" + b"x" * 2_000_000),
        chunk(b"tEXt", b"Comment\0hi")[:-1] + b"!",
        chunk(b"pHYs", b"\0\0"),
        chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
    ],
    ids=["profile", "XMP", "compressed text", "text", "wrong checksum", "short pHYs", "EXIF"],
)
def test_large_or_invalid_metadata_does_not_change_the_pixels(metadata: bytes) -> None:
    data = encode(Image.fromarray(wave()))
    np.testing.assert_array_equal(decode(data[:33] + metadata + data[33:], 24), wave())


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE", b"tRNS", b"IDAT"])
def test_checksums_of_pixel_chunks_are_verified(name: bytes) -> None:
    picture = Image.fromarray(wave()).quantize(8)
    data = bytearray(encode(picture, transparency=0))
    offset = data.index(name)
    data[offset + 4 + int.from_bytes(data[offset - 4 : offset])] ^= 1
    with pytest.raises(DamagedImage, match=f"the chunk {name.decode()} has a wrong checksum"):
        decode(bytes(data), 24)


def test_a_missing_end_chunk_is_not_damage() -> None:
    data = encode(Image.fromarray(wave()))
    np.testing.assert_array_equal(decode(data[:-12], 24), wave())
    with pytest.raises(DamagedImage):
        decode(data[:-20], 24)


def test_apples_variant_is_refused_by_name() -> None:
    data = encode(Image.fromarray(wave()))
    with pytest.raises(UnsupportedMediaType, match="CgBI"):
        decode(data[:8] + chunk(b"CgBI", b"\x50\0\x20\2") + data[8:], 24)


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_significant_bits_of_16_bit_pictures_are_kept(colour: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    samples = np.arange(24 * 24 * channels, dtype=np.uint16).reshape(24, 24, channels) % 1024
    if colour in (4, 6):
        samples[..., -1] = 0xFFFF
    colours = samples[..., : 3 if colour in (2, 6) else 1]
    expected = np.broadcast_to(colours >> 2, (24, 24, 3))
    np.testing.assert_array_equal(decode(deep(samples, colour), 24, significant_bits=10), expected)
    upper = np.broadcast_to(colours >> 8, (24, 24, 3))
    np.testing.assert_array_equal(decode(deep(samples, colour), 24), upper)


def test_a_clear_colour_of_16_bits_is_white() -> None:
    samples = np.full((8, 8, 3), (0x1234, 0x5678, 0x9ABC), np.uint16)
    samples[:4] += 1
    key = chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    pixels = decode(deep(samples, 2, key), 8)
    assert (pixels[4:] == 255).all()
    assert (pixels[:4] == (0x12, 0x56, 0x9A)).all()


@pytest.mark.parametrize("position", [33, -12], ids=["before", "after"])
def test_endless_chunks_are_refused_at_once(position: int) -> None:
    data = encode(Image.fromarray(wave()))
    with pytest.raises(DamagedImage, match=r"more than 10,0\d\d chunks"):
        decode(data[:position] + EMPTY_CHUNK * 11_000 + data[position:], 24)
    assert decode(data[:position] + EMPTY_CHUNK * 50 + data[position:], 24).shape == (24, 24, 3)


def test_a_large_picture_may_have_many_chunks() -> None:
    """libpng writes chunks of 8 kB: a training picture of 100 MB has 12,000 chunks."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 6000, 6000, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", bytes(8192)) * 12_500
    assert read_header(data, 24).pixels == 36_000_000


@pytest.mark.parametrize(
    "data",
    [
        png(8, 8, 8, 3, bytes(9 * 8)),
        png(8, 8, 16, 3, bytes(17 * 8)),
        png(8, 8, 3, 0, bytes(5 * 8)),
        png(8, 8, 8, 5, bytes(9 * 8)),
        png(0, 8, 8, 0, b""),
        png(8, 8, 8, 3, bytes(9 * 8), chunk(b"PLTE", bytes(900))),
    ],
    ids=["no palette", "deep palette", "3 bits", "colour 5", "no width", "long palette"],
)
def test_invalid_headers_are_damage(data: bytes) -> None:
    with pytest.raises(DamagedImage):
        decode(data, 8)


@pytest.mark.parametrize("length", [0, 1, 2, 5, 6, 8, 300])
@pytest.mark.parametrize(
    ("colour", "bits"), [(0, 8), (2, 8), (4, 8), (6, 8), (3, 8), (0, 16), (6, 16)]
)
def test_a_clear_colour_of_a_wrong_length_is_ignored(colour: int, bits: int, length: int) -> None:
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    rows = (b"\0" + bytes([255]) * 8 * channels * bits * 2)[: 1 + 8 * channels * bits // 8] * 8
    palette = chunk(b"PLTE", bytes([255]) * 768) if colour == 3 else b""
    data = png(8, 8, bits, colour, rows, palette + chunk(b"tRNS", bytes(length)))
    assert (decode(data, 8) == 255).all()


def test_a_clear_colour_after_the_pixels_is_ignored() -> None:
    data = png(8, 8, 8, 0, (b"\0" + bytes(8)) * 8)
    late = data[:-12] + chunk(b"tRNS", b"\0\0") + data[-12:]
    assert (decode(late, 8) == 0).all()


def test_rows_longer_than_any_screen_are_refused() -> None:
    """Conversions need memory for whole rows: 859 MB for a row of 180 megapixels."""
    with pytest.raises(PayloadTooLarge, match="width and height may be at most 65,535"):
        decode(png(180_000_000, 1, 8, 0, b""), 8)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_clear_gray_is_compared_at_the_depth_of_the_file(bits: int) -> None:
    """Pillow compares a clear gray of 2 or 4 bits with gray values of 8 bits."""
    key = 2**bits - 2 if bits > 1 else 0
    row = {1: 0b10101010, 2: 0b11101110, 4: 0xFE, 8: 0xFE}[bits]
    rows = (b"\0" + bytes([row]) * bits) * 8
    pixels = decode(png(8, 8, bits, 0, rows, chunk(b"tRNS", bytes([0, key]))), 8)
    assert (pixels == 255).all()
