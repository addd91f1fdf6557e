"""Augmented pictures are crops of the drawn ones; the same seed gives the same crops."""

from __future__ import annotations

import numpy as np
import pytest

from trainers.pretraining import augmentation, drawn_dataset
from trainers.pretraining.augmentation import AugmentedDataset
from trainers.pretraining.drawn_dataset import DrawnDataset


@pytest.fixture
def drawn() -> DrawnDataset:
    """Pictures with a gradient from left to right, so that a crop shows where it was cut."""
    ramp = np.arange(drawn_dataset.PICTURE_SIZE, dtype=np.uint8) * 2 + 40
    image = np.broadcast_to(
        ramp[None, :, None], (drawn_dataset.PICTURE_SIZE, drawn_dataset.PICTURE_SIZE, 3)
    )
    return DrawnDataset(np.stack([image] * 10), classes=2, per_class=5)


def test_without_a_seed_centre_crops_come_in_order(drawn: DrawnDataset) -> None:
    batches = AugmentedDataset(drawn, np.arange(10), 4)
    assert len(batches) == 3
    images, labels = batches[1]
    assert labels.tolist() == [0, 1, 1, 1]
    np.testing.assert_array_equal(images[0, 0, :, 0], np.arange(4, 68) * 2 + 40)


def test_crops_differ_in_scale_and_direction(drawn: DrawnDataset) -> None:
    images, labels = AugmentedDataset(drawn, np.arange(10), 10, seed=(0, 0))[0]
    assert images.shape == (10, augmentation.VIEW_SIZE, augmentation.VIEW_SIZE, 3)
    assert images.dtype == np.float32
    assert sorted(labels.tolist()) == [0] * 5 + [1] * 5
    slopes = np.diff(images.mean(axis=3), axis=2).mean(axis=(1, 2))
    assert (slopes > 0).any()
    assert (slopes < 0).any()
    assert np.abs(slopes).max() > 1.3 * np.abs(slopes).min()


def test_an_epoch_depends_on_the_seed(drawn: DrawnDataset) -> None:
    first, again, other = (
        AugmentedDataset(drawn, np.arange(10), 4, seed=(0, epoch))[0][0] for epoch in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_last_incomplete_batch_is_dropped_in_training(drawn: DrawnDataset) -> None:
    assert len(AugmentedDataset(drawn, np.arange(10), 4, seed=(0, 0))) == 2
