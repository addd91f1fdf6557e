from __future__ import annotations

import numpy as np
import pytest

from trainers.heads.class_weights import effect, is_uneven
from trainers.heads.examples import Examples


def examples(counts: tuple[int, int, int], distance: float) -> Examples:
    """Three clouds in a row, overlapping: so many to learn from; 20, 20 and none to judge by."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], counts)
    judged = np.repeat([0, 1], [20, 20])
    weights = (len(labels) / (3 * np.bincount(labels))).astype(np.float32)

    def cloud(of: np.ndarray) -> np.ndarray:
        return (rng.normal(size=(len(of), 4)) + distance * of[:, None]).astype(np.float32)

    return Examples(cloud(labels)[:, None], labels, weights[labels], cloud(judged), judged, 3)


def test_weights_find_more_of_the_rare_class() -> None:
    common, rare, missing = effect(examples((190, 10, 10), 1.0))
    assert (common["n"], rare["n"]) == (20, 20)
    assert rare["with_weights"] > rare["without_weights"] + 0.2
    assert common["with_weights"] <= common["without_weights"]
    assert missing == {"n": 0, "with_weights": None, "without_weights": None}


@pytest.mark.parametrize(
    ("weights", "answer"), [((1, 1), False), ((0.8, 1.3), False), ((0.5, 3), True)]
)
def test_small_differences_do_not_count(weights: tuple[float, float], answer: bool) -> None:
    assert is_uneven(np.array(weights, np.float32)) is answer
