from __future__ import annotations

import numpy as np

from trainers.features.augmentation import MIRRORED, UPSIDE_DOWN, ZOOMED, make_view, mix_up

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
KEY = bytes([0, 255]) + bytes(30)


def test_the_first_view_is_the_picture_and_odd_ones_are_mirrored() -> None:
    np.testing.assert_array_equal(make_view(IMAGE, 0, KEY), IMAGE)
    for number in (0, ZOOMED, UPSIDE_DOWN, ZOOMED | UPSIDE_DOWN):
        np.testing.assert_array_equal(
            make_view(IMAGE, number | MIRRORED, KEY), make_view(IMAGE, number, KEY)[:, ::-1]
        )


def test_a_zoomed_view_shows_a_part_at_the_same_size() -> None:
    gradient = np.repeat(np.arange(40, dtype=np.uint8)[None, :, None] * 6, 40, axis=0)
    gradient = np.repeat(gradient, 3, axis=2)
    left, right = (make_view(gradient, 2, bytes([start, 0]))[20, :, 0] for start in (0, 255))
    assert left.shape == (40,)
    assert left[0] < 6
    assert left[-1] < 200  # 4/5 of the width, from the left edge
    assert right[0] > 35
    assert right[-1] > 225


def test_a_view_is_reproducible_and_differs_between_pictures() -> None:
    np.testing.assert_array_equal(make_view(IMAGE, 2, KEY), make_view(IMAGE, 2, KEY))
    assert not np.array_equal(make_view(IMAGE, 2, KEY), make_view(IMAGE, 2, bytes([255, 0])))


def test_mix_up_mixes_inputs_and_targets_in_the_same_shares() -> None:
    rows = np.arange(10, dtype=np.float32)
    inputs, targets = np.stack([rows, -rows], axis=1), np.eye(10, dtype=np.float32)
    mixed, shares = mix_up(inputs, targets, 0.3, np.random.default_rng(1))
    assert mixed.dtype == shares.dtype == np.float32
    assert (shares.max(axis=1) < 0.999).any()
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed, shares @ inputs, rtol=1e-5)
