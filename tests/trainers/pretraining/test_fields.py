"""Cells, noise and edges have the properties that patterns rely on."""

from __future__ import annotations

import numpy as np

from trainers.pretraining.fields import cells, noise, pose, smooth_step

LINE = np.linspace(-1.99, 1.99, 40, dtype=np.float32)
X, Y = np.meshgrid(LINE, LINE)


def test_without_jitter_cells_are_the_unit_squares() -> None:
    found = cells(X, Y, 0.0, np.random.default_rng(0))
    expected = np.hypot(X - np.floor(X) - 0.5, Y - np.floor(Y) - 0.5)
    np.testing.assert_allclose(found.nearest, expected, atol=1e-5)
    for corner in ((-2, -2), (-1, 0), (1, 1)):
        inside = (np.floor(corner[0]) == np.floor(X)) & (np.floor(corner[1]) == np.floor(Y))
        assert len(np.unique(found.value[inside])) == 1
    assert len(np.unique(found.value)) == 16


def test_the_way_to_the_nearest_point_is_as_long_as_its_distance() -> None:
    found = cells(X, Y, 0.9, np.random.default_rng(1))
    np.testing.assert_allclose(np.hypot(found.x, found.y), found.nearest, atol=1e-5)
    assert (found.nearest <= found.second).all()


def test_noise_is_standardised_and_rougher_where_asked() -> None:
    grain, clouds = (noise(64, np.random.default_rng(2), roughness) for roughness in (0.6, 2.2))
    for field in (grain, clouds):
        assert abs(float(field.mean())) < 1e-3
        assert abs(float(field.std()) - 1) < 1e-3
    steps = [float(np.abs(np.diff(field)).mean()) for field in (grain, clouds)]
    assert steps[0] > 3 * steps[1]


def test_noise_in_a_band_repeats_as_often_as_asked() -> None:
    spectrum = np.abs(np.fft.rfft2(noise(64, np.random.default_rng(3), frequency=8.0)))
    down, along = np.fft.fftfreq(64)[:, None] * 64, np.fft.rfftfreq(64)[None] * 64
    power = spectrum**2
    mean_frequency = (np.hypot(down, along) * power).sum() / power.sum()
    assert abs(mean_frequency - 8) < 1


def test_a_pose_turns_and_enlarges() -> None:
    x, y = pose(np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32), np.pi / 2, 2.0)
    np.testing.assert_allclose([x.item(), y.item()], [0, -0.5], atol=1e-6)


def test_a_smooth_step_is_a_half_on_the_edge() -> None:
    inside = np.array([[-9, 0, 9]], np.float32)
    np.testing.assert_allclose(smooth_step(inside, 5), [[0, 0.5, 1]], atol=1e-6)
