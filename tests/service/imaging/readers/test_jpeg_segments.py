from __future__ import annotations

from typing import Any

import pytest

from service.imaging.readers.jpeg_segments import read_frame
from tests.service.imaging.readers.test_jpeg import photo, scan_of


@pytest.mark.parametrize(
    ("options", "scans"),
    [({}, 1), ({"restart_marker_blocks": 1}, 1), ({"progressive": True}, 10)],
    ids=["baseline", "restarts", "progressive"],
)
def test_scans_are_counted(options: dict[str, Any], scans: int) -> None:
    data = photo(**options)
    assert read_frame(data).scans == scans
    # bytes after the end of the picture are not decoded
    assert read_frame(data + b"\xff\xda" * 100).scans == scans
    assert (
        read_frame(data[:2] + b"\xff\xfe\0\x08\xff\xda\xff\xda\xff\xda" + data[2:]).scans == scans
    )


@pytest.mark.parametrize("skipped_bytes", [b"\xff\x05", b"\xff\x01", b"\xff\xd3", b"\xff\xff\xff"])
def test_skipped_bytes_do_not_hide_a_scan(skipped_bytes: bytes) -> None:
    """libjpeg skips these bytes without reading a length, and so must the count."""
    data = photo()
    assert read_frame(data[:-2] + skipped_bytes + scan_of(data) + b"\xff\xd9").scans == 2
