from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import DamagedImage, PayloadTooLarge, UndecodableImage
from service.imaging import decode
from service.imaging.readers.jpeg import read_header

EMPTY_COMMENT = b"\xff\xfe\0\x02"


def scan_of(data: bytes) -> bytes:
    """The header of the last scan; without its data, it is an empty scan."""
    start = data.rindex(b"\xff\xda")
    return data[start : start + 2 + int.from_bytes(data[start + 2 : start + 4])]


def photo(**options: Any) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("progressive", [True, False])
def test_a_picture_of_many_scans_is_refused_at_once(draw: Any, progressive: bool) -> None:
    data = draw(size=(4000, 3000), progressive=progressive)
    many_scans = data[:-2] + scan_of(data) * 2000 + b"\xff\xd9"
    started = time.process_time()
    with pytest.raises(PayloadTooLarge, match=r"decoding it takes about [1-9]"):
        decode(many_scans, 32)
    assert time.process_time() - started < 1  # 10 s and more if it were decoded
    assert decode(data, 32).shape == (32, 32, 3)


def test_small_pictures_may_have_more_scans(draw: Any) -> None:
    data = draw(size=(64, 48), progressive=True)
    many_scans = data[:-2] + scan_of(data) * 64 + b"\xff\xd9"
    assert read_header(many_scans, 32).pixels == 64 * 48


@pytest.mark.parametrize("filling", [EMPTY_COMMENT * 500_000, b"\xff" * 2_000_000])
def test_an_endless_header_is_refused_at_once(draw: Any, filling: bytes) -> None:
    data = draw()
    with pytest.raises(UndecodableImage):
        decode(data[:2] + filling + data[2:], 32)
    short_filling = filling[:4000]
    assert (decode(data[:2] + short_filling + data[2:], 32) == decode(data, 32)).all()


def test_corrected_scan_parameters_do_not_hide_damage() -> None:
    """libjpeg warns about both: ignoring all warnings would accept damaged blocks."""
    data = bytearray(photo(quality=80))
    offset = data.index(b"\xff\xda") + 1 + data[data.index(b"\xff\xda") + 3]
    data[offset] = 0  # the last coefficient, 63 in sequential pictures
    np.testing.assert_array_equal(decode(bytes(data), 64), decode(photo(quality=80), 64))
    middle = len(data) // 2
    with pytest.raises(DamagedImage):
        decode(bytes(data[:middle]) + bytes(2000) + bytes(data[middle + 2000 :]), 64)
