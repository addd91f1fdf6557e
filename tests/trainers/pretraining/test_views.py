"""Views are parts of the pictures, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from trainers.pretraining import pictures, views
from trainers.pretraining.pictures import Drawn
from trainers.pretraining.views import Views


@pytest.fixture
def drawn() -> Drawn:
    """A ramp from left to right: where a view was taken can be read off it."""
    ramp = np.arange(pictures.SIZE, dtype=np.uint8) * 2 + 40
    image = np.broadcast_to(ramp[None, :, None], (pictures.SIZE, pictures.SIZE, 3))
    return Drawn(np.stack([image] * 10), classes=2, per_class=5)


def test_without_a_seed_it_is_the_middle_in_order(drawn: Drawn) -> None:
    batches = Views(drawn, np.arange(10), 4)
    assert len(batches) == 3
    images, labels = batches[1]
    assert labels.tolist() == [0, 1, 1, 1]
    np.testing.assert_array_equal(images[0, 0, :, 0], np.arange(4, 68) * 2 + 40)


def test_parts_differ_in_scale_and_direction(drawn: Drawn) -> None:
    images, labels = Views(drawn, np.arange(10), 10, seed=(0, 0))[0]
    assert images.shape == (10, views.SIZE, views.SIZE, 3)
    assert images.dtype == np.float32
    assert sorted(labels.tolist()) == [0] * 5 + [1] * 5
    slopes = np.diff(images.mean(axis=3), axis=2).mean(axis=(1, 2))
    assert (slopes > 0).any()
    assert (slopes < 0).any()
    assert np.abs(slopes).max() > 1.3 * np.abs(slopes).min()


def test_an_epoch_is_the_same_for_the_same_seed_only(drawn: Drawn) -> None:
    one, again, other = (Views(drawn, np.arange(10), 4, seed=(0, e))[0][0] for e in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_what_does_not_fill_a_batch_is_left_out_while_learning(drawn: Drawn) -> None:
    assert len(Views(drawn, np.arange(10), 4, seed=(0, 0))) == 2
