"""Every texture has different values of about 0 to 1; the same seed gives the same texture."""

from __future__ import annotations

import numpy as np
import pytest

from trainers.pretraining.textures import PATTERNS, Texture

LINE = np.linspace(-1, 1, 48, dtype=np.float32)
X, Y = np.meshgrid(LINE, LINE)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_stays_in_range_and_varies(pattern: str) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drawn = Texture.sample(rng)
        texture = Texture(pattern, *list(vars(drawn).values())[1:])
        painted = texture.paint(X, Y, np.random.default_rng(seed))
        assert painted.shape == X.shape
        assert painted.dtype == np.float32
        overshoot = 2.0 if pattern in ("cloud", "blotches") else 1e-5
        assert painted.min() >= -overshoot
        assert painted.max() <= 1 + overshoot
        np.testing.assert_array_equal(painted, texture.paint(X, Y, np.random.default_rng(seed)))
        deviations = [
            texture.paint(X, Y, np.random.default_rng(number)).std() for number in range(8)
        ]
        assert max(deviations) > 0.01


def test_a_grating_has_its_frequency() -> None:
    texture = Texture("grating", 4.0, 0.4, 1.0, 1.0, 0.5)
    row = texture.paint(X, Y, np.random.default_rng(0))[0]
    spectrum = np.abs(np.fft.rfft(row - row.mean()))
    assert spectrum.argmax() == 8  # 4 periods over half a picture


def test_textures_are_drawn_from_all_patterns() -> None:
    rng = np.random.default_rng(0)
    assert {Texture.sample(rng).pattern for _ in range(200)} == set(PATTERNS)
