from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import PayloadTooLarge, UndecodableImage
from service.imaging import decode
from service.structure import MAX_SCANS, count_scans, refuse_many_chunks, webp_canvas

EMPTY_COMMENT, EMPTY_CHUNK = b"\xff\xfe\0\x02", b"\0\0\0\0abCd\x78\x06\xe9\xb3"


def scan_of(data: bytes) -> bytes:
    """The header of the last scan, which alone is a scan without data."""
    start = data.rindex(b"\xff\xda")
    return data[start : start + 2 + int.from_bytes(data[start + 2 : start + 4])]


def photo(**options: Any) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("options", "scans"),
    [({}, 1), ({"restart_marker_blocks": 1}, 1), ({"progressive": True}, 10)],
    ids=["baseline", "restarts", "progressive"],
)
def test_scans_are_counted(options: dict[str, Any], scans: int) -> None:
    data = photo(**options)
    assert count_scans(data) == scans
    assert count_scans(data + b"\xff\xda" * 100) == scans  # what follows the end is not decoded
    assert count_scans(data[:2] + b"\xff\xfe\0\x08\xff\xda\xff\xda\xff\xda" + data[2:]) == scans


@pytest.mark.parametrize("shell", [b"\xff\x05", b"\xff\x01", b"\xff\xd3", b"\xff\xff\xff"])
def test_nothing_hides_a_scan(shell: bytes) -> None:
    """libjpeg skips what is no marker without its length: so does the count."""
    data = photo()
    assert count_scans(data[:-2] + shell + scan_of(data) + b"\xff\xd9") == 2


@pytest.mark.parametrize("progressive", [True, False])
def test_a_picture_of_many_scans_is_refused_at_once(draw: Any, progressive: bool) -> None:
    data = draw(size=(4000, 3000), progressive=progressive)
    many = data[:-2] + scan_of(data) * 2000 + b"\xff\xd9"
    started = time.process_time()
    with pytest.raises(PayloadTooLarge, match="scans of 12,000,000 pixels; at most 133 are"):
        decode(many, 32)
    assert time.process_time() - started < 1  # 10 s and more when it is read
    assert decode(data, 32).shape == (32, 32, 3)


def test_small_pictures_may_have_more_scans(draw: Any) -> None:
    data = draw(size=(64, 48), progressive=True)
    many = data[:-2] + scan_of(data) * 2 * MAX_SCANS + b"\xff\xd9"
    assert (decode(many, 32) == decode(data, 32)).all()


@pytest.mark.parametrize("filling", [EMPTY_COMMENT * 500_000, b"\xff" * 2_000_000])
def test_a_header_without_end_is_refused_at_once(draw: Any, filling: bytes) -> None:
    data = draw()
    with pytest.raises(UndecodableImage):
        decode(data[:2] + filling + data[2:], 32)
    few = filling[:4000]
    assert (decode(data[:2] + few + data[2:], 32) == decode(data, 32)).all()


@pytest.mark.parametrize("place", [33, -12], ids=["before", "after"])
def test_chunks_without_end_are_refused_at_once(draw: Any, place: int) -> None:
    data = draw(kind="PNG")
    with pytest.raises(UndecodableImage, match=r"more than 10,0\d\d chunks"):
        decode(data[:place] + EMPTY_CHUNK * 11_000 + data[place:], 32)
    assert decode(data[:place] + EMPTY_CHUNK * 50 + data[place:], 32).shape == (32, 32, 3)


def test_a_large_picture_may_have_many_chunks() -> None:
    """libpng puts 8 kB into each: 100 MB, as training may meet them, are 12,000 chunks."""
    chunk = (8192).to_bytes(4) + b"IDAT" + bytes(8192 + 4)
    refuse_many_chunks(b"\x89PNG\r\n\x1a\n" + chunk * 12_500)


@pytest.mark.parametrize(
    "options",
    [{}, {"lossless": True}, {"save_all": True, "append_images": [Image.new("RGB", (64, 48))]}],
    ids=["lossy", "lossless", "animated"],
)
def test_a_canvas_is_read_before_libwebp_takes_memory_for_it(options: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(buffer, "WebP", **options)
    assert webp_canvas(buffer.getvalue()) == (64, 48)
    with pytest.raises(PayloadTooLarge, match="64 x 48 = 3,072 pixels"):
        decode(buffer.getvalue(), 32, max_pixels=3071)
