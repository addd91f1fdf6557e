from __future__ import annotations

import numpy as np
import pytest

from trainers.heads.class_weights import compare_recalls, is_imbalanced
from trainers.heads.examples import Examples


def examples(counts: tuple[int, int, int], distance: float) -> Examples:
    """Three overlapping clouds: `counts` points for training; 20, 20 and 0 for validation."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], counts)
    validation_labels = np.repeat([0, 1], [20, 20])
    weights = (len(labels) / (3 * np.bincount(labels))).astype(np.float32)

    def cloud(classes: np.ndarray) -> np.ndarray:
        points = rng.normal(size=(len(classes), 4)) + distance * classes[:, None]
        return points.astype(np.float32)

    return Examples(
        cloud(labels)[:, None],
        labels,
        weights[labels],
        cloud(validation_labels),
        validation_labels,
        3,
    )


def test_class_weights_raise_the_recall_of_the_rare_class() -> None:
    common, rare, missing = compare_recalls(examples((190, 10, 10), 1.0))
    assert (common["n"], rare["n"]) == (20, 20)
    assert rare["with_weights"] > rare["without_weights"] + 0.2
    assert common["with_weights"] <= common["without_weights"]
    assert missing == {"n": 0, "with_weights": None, "without_weights": None}


@pytest.mark.parametrize(
    ("weights", "expected"), [((1, 1), False), ((0.8, 1.3), False), ((0.5, 3), True)]
)
def test_classes_are_imbalanced_beyond_the_ratio(
    weights: tuple[float, float], expected: bool
) -> None:
    assert is_imbalanced(np.array(weights, np.float32)) is expected
