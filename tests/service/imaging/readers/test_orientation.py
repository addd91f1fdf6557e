from __future__ import annotations

import struct

import pytest
from PIL import Image

from service.imaging.readers.orientation import read_orientation


def exif(value: int, order: str = ">", kind: int = 3) -> bytes:
    """An EXIF block whose only entry is Orientation."""
    start = b"MM\0*" if order == ">" else b"II*\0"
    number = struct.pack(order + {1: "B", 3: "H", 4: "I"}[kind], value).ljust(4, b"\0")
    entry = struct.pack(order + "HHI", 0x0112, kind, 1) + number
    return start + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [1, 3, 4])
def test_orientation_is_read_in_both_byte_orders_and_every_integer(order: str, kind: int) -> None:
    assert read_orientation(exif(6, order, kind)) == 6
    assert read_orientation(b"Exif\0\0" + exif(8, order, kind)) == 8


def test_exif_of_pillow_is_read() -> None:
    for value in range(1, 9):
        block = Image.Exif()
        block[0x010E], block[0x0112] = "a leaf", value
        assert read_orientation(block.tobytes()) == value


@pytest.mark.parametrize(
    "block",
    [b"", b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", exif(9), exif(0)],
)
def test_damaged_or_invalid_metadata_means_upright(block: bytes) -> None:
    assert read_orientation(block) == 1


def test_xmp_is_used_without_exif() -> None:
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    assert read_orientation(b"", xmp) == 6
    assert read_orientation(exif(3), xmp) == 3
    assert read_orientation(b"", b"<tiff:Orientation>8</tiff:Orientation>") == 8


def test_tags_that_point_at_megabytes_are_not_read() -> None:
    """Pillow would copy the whole block for each of 65,535 tags."""
    entries = b"".join(struct.pack(">HHII", tag, 7, 1_000_000, 0) for tag in range(1000, 60_000))
    block = b"MM\0*" + struct.pack(">IH", 8, 59_000) + entries + bytes(1_000_000)
    assert read_orientation(block) == 1
