from __future__ import annotations

import io

import numpy as np
from PIL import Image

from service.explanation.overlay import draw


def test_a_png_shows_the_heat_map_over_the_gray_picture() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = (255, 0, 0)
    heat_map = np.array([[1, 1], [0, 0]], np.float32)
    png = draw(image, heat_map)
    assert png.startswith(b"\x89PNG")
    drawn = np.asarray(Image.open(io.BytesIO(png)), int)
    assert drawn.shape == (64, 64, 3)
    hot, cold = drawn[0], drawn[-1]
    assert (hot[:, 0] > hot[:, 2]).all(), "yellow"
    assert (cold[:, 0] < cold[:, 2]).all(), "dark blue"
    assert (hot.sum(axis=1) > cold.sum(axis=1) + 100).all()
    np.testing.assert_allclose(hot[-1] - hot[0], 0.4 * 76, atol=2)  # red becomes gray: 76


def test_values_between_regions_are_interpolated() -> None:
    drawn = draw(np.zeros((64, 64, 3), np.uint8), np.array([[0, 1]], np.float32))
    brightness = np.asarray(Image.open(io.BytesIO(drawn)).convert("L"), int)[0]
    assert (np.diff(brightness) >= -1).all()
    assert len(np.unique(brightness)) > 20
