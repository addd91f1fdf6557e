"""Cells, noise and edges have the properties that textures rely on."""

from __future__ import annotations

import numpy as np

from trainers.pretraining.noise_fields import noise, smooth_step, to_frame, worley_cells

LINE = np.linspace(-1.99, 1.99, 40, dtype=np.float32)
X, Y = np.meshgrid(LINE, LINE)


def test_without_jitter_cells_are_the_unit_squares() -> None:
    cells = worley_cells(X, Y, 0.0, np.random.default_rng(0))
    expected = np.hypot(X - np.floor(X) - 0.5, Y - np.floor(Y) - 0.5)
    np.testing.assert_allclose(cells.nearest, expected, atol=1e-5)
    for corner in ((-2, -2), (-1, 0), (1, 1)):
        inside = (np.floor(corner[0]) == np.floor(X)) & (np.floor(corner[1]) == np.floor(Y))
        assert len(np.unique(cells.value[inside])) == 1
    assert len(np.unique(cells.value)) == 16


def test_the_offset_is_as_long_as_the_distance() -> None:
    cells = worley_cells(X, Y, 0.9, np.random.default_rng(1))
    np.testing.assert_allclose(np.hypot(cells.x, cells.y), cells.nearest, atol=1e-5)
    assert (cells.nearest <= cells.second).all()


def test_noise_is_standardized_and_follows_its_smoothness() -> None:
    grain, clouds = (noise(64, np.random.default_rng(2), smoothness) for smoothness in (0.6, 2.2))
    for field in (grain, clouds):
        assert abs(float(field.mean())) < 1e-3
        assert abs(float(field.std()) - 1) < 1e-3
    steps = [float(np.abs(np.diff(field)).mean()) for field in (grain, clouds)]
    assert steps[0] > 3 * steps[1]


def test_noise_in_a_band_has_its_frequency() -> None:
    spectrum = np.abs(np.fft.rfft2(noise(64, np.random.default_rng(3), frequency=8.0)))
    down, along = np.fft.fftfreq(64)[:, None] * 64, np.fft.rfftfreq(64)[None] * 64
    power = spectrum**2
    mean_frequency = (np.hypot(down, along) * power).sum() / power.sum()
    assert abs(mean_frequency - 8) < 1


def test_a_frame_is_turned_and_enlarged() -> None:
    x, y = to_frame(np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32), np.pi / 2, 2.0)
    np.testing.assert_allclose([x.item(), y.item()], [0, -0.5], atol=1e-6)


def test_a_smooth_step_is_a_half_on_the_edge() -> None:
    inside = np.array([[-9, 0, 9]], np.float32)
    np.testing.assert_allclose(smooth_step(inside, 5), [[0, 0.5, 1]], atol=1e-6)
