from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.imaging.resizing import resize_to_square, working_bytes


def smooth(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:height, :width]
    waves = [
        127 + 90 * np.sin(rows / 40 + columns / (30 + 9 * channel)) for channel in range(channels)
    ]
    return np.stack(waves, 2).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "P", "CMYK"])
def test_strips_give_the_same_pixels(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    picture = Image.fromarray(smooth(317, 211)).convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(77)
    expected = resize_to_square(picture, 8, 16)
    monkeypatch.setattr("service.imaging.resizing._STRIP_PIXELS", 3000)
    np.testing.assert_array_equal(resize_to_square(picture, 8, 16), expected)


@pytest.mark.slow
def test_averaging_blocks_first_hardly_changes_the_result() -> None:
    pixels = smooth(3000, 2000)
    by_blocks = resize_to_square(pixels, 64, 16).astype(int)
    direct = np.asarray(Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR))
    assert np.abs(by_blocks - direct).max() <= 2


def test_a_picture_far_longer_than_wide_is_averaged_along_its_length() -> None:
    pixels = np.zeros((20, 90_000, 3), np.uint8)
    pixels[:, 45_000:] = 200
    square = resize_to_square(pixels, 16, 16)
    assert square[8, 2].tolist() == [0, 0, 0]
    assert square[8, -2].tolist() == [200, 200, 200]


def test_significant_bits_are_scaled_and_alpha_is_not() -> None:
    values = np.array([[0, 511, 1023, 4095]], np.uint16).repeat(4, 0)
    assert resize_to_square(values, 4, 10)[0, :, 0].tolist() == [0, 127, 255, 255]
    layered = np.stack([values, np.full_like(values, 0xFFFF)], 2)
    assert resize_to_square(layered, 4, 10)[0, :, 0].tolist() == [0, 127, 255, 255]
    layered[..., 1] = 0
    assert (resize_to_square(layered, 4, 10) == 255).all()


def test_working_memory_is_that_of_the_reduced_picture() -> None:
    assert working_bytes(8192, 6144, 224) < 50_000_000
    assert working_bytes(500, 375, 224) < 5_000_000
