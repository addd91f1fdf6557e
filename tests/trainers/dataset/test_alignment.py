from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.dataset.alignment import are_duplicates
from trainers.dataset.inspection import THUMBNAIL_SIZE

Thumbnail = NDArray[np.uint8]


def smooth(shift: float = 0.0, seed: int = 0) -> NDArray[np.float64]:
    """Draw a thumbnail (side, side) of slow waves, shifted by `shift` pixels."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(THUMBNAIL_SIZE) + shift, np.arange(THUMBNAIL_SIZE))
    waves = [
        np.sin(0.3 * x * rng.uniform(0.5, 1) + 0.3 * y * rng.uniform(0.5, 1) + rng.uniform(0, 6))
        for _ in range(4)
    ]
    return 128 + 20 * np.sum(waves, axis=0)


def pixels(values: NDArray[np.float64]) -> Thumbnail:
    return values.clip(0, 255).astype(np.uint8)[np.newaxis]


@pytest.mark.parametrize(
    "altered",
    [smooth(), smooth(shift=0.5), 20 + 0.9 * smooth()],
    ids=["equal", "shifted", "in another light"],
)
def test_slightly_changed_copies_are_duplicates(altered: NDArray[np.float64]) -> None:
    assert are_duplicates(pixels(smooth()), pixels(altered)).tolist() == [True]


def test_other_pictures_and_large_spots_are_not_duplicates() -> None:
    spot = smooth()
    spot[12:15, 12:15] += 90
    for other in (spot, smooth(seed=1), 255 - smooth()):
        assert are_duplicates(pixels(smooth()), pixels(other)).tolist() == [False]


def test_pairs_are_compared_independently() -> None:
    left = np.concatenate([pixels(smooth()), pixels(smooth())])
    right = np.concatenate([pixels(smooth(shift=0.3)), pixels(smooth(seed=1))])
    assert are_duplicates(left, right).tolist() == [True, False]
