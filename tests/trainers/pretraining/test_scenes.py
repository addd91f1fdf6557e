"""Pictures of the same template are similar, those of different templates are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.pretraining.scenes import LAYOUTS, SceneTemplate, Shape, draw_picture

SIZE = 48


def mean_colours(template: SceneTemplate, count: int = 12) -> NDArray[np.float64]:
    pictures = [draw_picture(template, SIZE, np.random.default_rng(seed)) for seed in range(count)]
    colours: NDArray[np.float64] = np.stack(pictures).mean(axis=(1, 2))
    return colours


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_can_be_drawn(layout: str) -> None:
    for seed in range(8):
        template = replace(SceneTemplate.sample(np.random.default_rng(seed)), layout=layout)
        picture = draw_picture(template, SIZE, np.random.default_rng(seed))
        assert picture.shape == (SIZE, SIZE, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 0


def test_a_picture_depends_on_the_seed() -> None:
    template = SceneTemplate.sample(np.random.default_rng(5))
    first, again, other = (
        draw_picture(template, SIZE, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_pictures_of_a_class_share_their_colours() -> None:
    colours = [
        mean_colours(SceneTemplate.sample(np.random.default_rng(seed))) for seed in range(12)
    ]
    within = np.mean([class_colours.std(axis=0).mean() for class_colours in colours])
    between = np.stack([class_colours.mean(axis=0) for class_colours in colours]).std(axis=0).mean()
    assert between > 1.3 * within


def test_shapes_lie_on_the_ground() -> None:
    template = replace(
        SceneTemplate.sample(np.random.default_rng(3)), palette=PLAIN, colour_spread=0.0
    )
    without_shapes = mean_colours(replace(template, layout="none"))
    with_disc = mean_colours(replace(template, layout="one", shape=DISC))
    # a red disc on a blue ground
    assert (with_disc[:, 0] > without_shapes[:, 0]).all()
    assert (with_disc[:, 2] < without_shapes[:, 2]).all()


PLAIN = np.array([[0, 0, 1], [0, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0]], np.float32)
DISC = Shape(symmetry=0, exponents=(1.0, 1.0, 1.0), size=0.8, core=0.0)


def test_a_disc_is_round_and_as_large_as_its_size() -> None:
    angle = np.linspace(0, 6, 7, dtype=np.float32)[None]
    disc = Shape(symmetry=0, exponents=(1.0, 2.0, 2.0), size=0.5, core=0.0)
    depth = disc.depth(0.5 * np.cos(angle), 0.5 * np.sin(angle))
    np.testing.assert_allclose(depth, 1, atol=1e-3)


def test_a_star_has_its_corners() -> None:
    star = Shape(symmetry=5, exponents=(0.6, 1.5, 1.5), size=0.8, core=0.0)
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False, dtype=np.float32)[None]
    depth = star.depth(0.5 * np.cos(angle), 0.5 * np.sin(angle))[0]
    is_corner = (depth < np.roll(depth, 1)) & (depth <= np.roll(depth, -1))
    assert is_corner.sum() == 5
