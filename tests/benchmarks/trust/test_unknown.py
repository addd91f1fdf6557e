"""The benchmark unknown.py: its figures, its drawn pictures, and one run with a tiny backbone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.trust import unknown
from plugins.registry import resolve
from trainers.features.network import Network

DRAWN = (
    unknown.draw_texture,
    unknown.draw_leaf_picture,
    unknown.draw_page,
    unknown.draw_uniform_noise,
    unknown.draw_normal_noise,
)


def test_a_picture_is_found_if_its_novelty_is_above_the_threshold() -> None:
    known = np.array([0.1, 0.5, 0.96]), np.array([0.9, 0.8, 0.7])
    figures = unknown.compare(known, (np.array([0.95, 0.99]), np.array([0.75, 0.95])))
    assert figures == {
        "novelty": pytest.approx(5 / 6),
        "highest probability": pytest.approx(2 / 6),
        "called unknown": 0.5,
    }


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_drawn_pictures_differ(draw: Callable[..., np.ndarray]) -> None:
    first, second = (draw(48, np.random.default_rng(seed)) for seed in range(2))
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    assert first.std() > 2
    assert (first != second).any()
    np.testing.assert_array_equal(first, draw(48, np.random.default_rng(0)))


def test_unknown_pictures_come_from_other_folders_and_are_drawn(
    draw_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unknown, "PICTURES", 5)
    folder = draw_folder(tmp_path / "colours", red=4, blue=4)
    pictures = dict(unknown.far_pictures(Network(resolve("tiny"), "none", 32, 0), (str(folder),)))
    names = ("colours", "texture", "leaf_picture", "page", "uniform_noise", "normal_noise")
    assert tuple(pictures) == names
    assert {images.shape for images in pictures.values()} == {(5, 32, 32, 3)}


@pytest.mark.slow
def test_a_class_is_held_out(draw_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "colours", red=60, green=60, blue=60)
    figures = unknown.hold_out(Network(resolve("tiny"), "none", 32, 0), folder, 0, "red", "none")
    assert 0.5 < figures["novelty"] <= 1
    assert 0 <= figures["highest probability"] <= 1
