from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from service.imaging.readers.opencv import decode_with_opencv


def test_channels_are_rgb_and_the_size_must_agree(capfd: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (40, 30), (200, 30, 10, 99)).save(buffer, "WebP", lossless=True, exact=True)
    data = buffer.getvalue()
    pixels = decode_with_opencv(data, (40, 30))
    assert pixels.shape == (30, 40, 4)
    assert (pixels == (200, 30, 10, 99)).all()
    with pytest.raises(ValueError, match="unexpected size"):
        decode_with_opencv(data, (30, 40))
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode_with_opencv(data[:-20], (40, 30))
    assert capfd.readouterr().err == ""


def test_large_pictures_are_turned_to_rgb_strip_by_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.imaging.readers.opencv._STRIP_PIXELS", 100)
    noise = np.random.default_rng(0).integers(0, 256, (37, 41, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "WebP", lossless=True)
    np.testing.assert_array_equal(decode_with_opencv(buffer.getvalue(), (41, 37)), noise)
