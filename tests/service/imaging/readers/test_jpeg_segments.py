from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.imaging.readers.jpeg_segments import read_frame


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
    assert read_frame(data).scans == scans
    assert (
        read_frame(data + b"\xff\xda" * 100).scans == scans
    )  # what follows the end is not decoded
    assert (
        read_frame(data[:2] + b"\xff\xfe\0\x08\xff\xda\xff\xda\xff\xda" + data[2:]).scans == scans
    )


@pytest.mark.parametrize("shell", [b"\xff\x05", b"\xff\x01", b"\xff\xd3", b"\xff\xff\xff"])
def test_nothing_hides_a_scan(shell: bytes) -> None:
    """libjpeg skips what is no marker without its length: so does the count."""
    data = photo()
    assert read_frame(data[:-2] + shell + scan_of(data) + b"\xff\xd9").scans == 2
