from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.guidance.label_errors import (
    MIN_ACCURACY,
    MIN_LABELLED,
    count_label_errors,
    find_multi_label_suspects,
    find_suspects,
)

LABELS = np.arange(200) % 4
ROWS = np.arange(200) + 1000


def sure(classes: NDArray[np.int64], seed: int = 0) -> NDArray[np.float32]:
    """Probabilities of heads that are sure of these classes, each in a different degree."""
    rng = np.random.default_rng(seed)
    probabilities = rng.uniform(0, 0.1, (len(classes), 4))
    probabilities[np.arange(len(classes)), classes] = rng.uniform(1, 2, len(classes))
    return (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


def test_changed_labels_are_suspects_and_the_class_is_suggested() -> None:
    changed = np.random.default_rng(1).choice(200, 20, replace=False)
    labels = LABELS.copy()
    labels[changed] = (labels[changed] + 1) % 4
    found = find_suspects(sure(LABELS), labels, ROWS)
    assert set(found.rows) <= set(ROWS[changed])
    assert len(found.rows) >= 12  # as many as are above the mean probability of their class
    assert (found.suggested == LABELS[found.rows - 1000]).all()
    assert (np.diff(found.label_scores) >= 0).all()
    assert (found.suggested_scores > found.label_scores).all()
    assert (found.examined, found.reason) == (200, "")


def test_right_labels_are_no_suspects() -> None:
    assert not len(find_suspects(sure(LABELS), LABELS, ROWS).rows)


def test_pictures_without_a_held_out_answer_are_not_examined() -> None:
    probabilities, labels = sure(LABELS), LABELS.copy()
    labels[:4] = (labels[:4] + 1) % 4
    probabilities[:2] = np.nan
    found = find_suspects(probabilities, labels, ROWS)
    assert found.examined == 198
    assert set(found.rows) <= {1002, 1003}
    nothing = find_suspects(np.full((200, 4), np.nan, np.float32), LABELS, ROWS)
    assert (nothing.examined, nothing.reason) == (0, "no class has two different pictures")


@pytest.mark.parametrize(("wrong", "is_examined"), [(0.3, True), (0.5, False)])
def test_a_weak_head_does_not_judge_labels(wrong: float, is_examined: bool) -> None:
    answers = LABELS.copy()
    answers[: int(200 * wrong)] = (answers[: int(200 * wrong)] + 1) % 4
    found = find_suspects(sure(answers), LABELS, ROWS)
    assert (1 - wrong >= MIN_ACCURACY) == is_examined
    assert (found.reason == "") == is_examined
    assert is_examined or "gets only 50% of the pictures right" in found.reason


def test_labels_are_wrong_if_another_class_is_at_least_as_probable_as_usual() -> None:
    """The thresholds are (0.8 + 0.2) / 2 = 0.5 for class 0, and 0.9 for class 1."""
    probabilities = np.array([[0.8, 0.2], [0.2, 0.8], [0.1, 0.9]], np.float32)
    labels = np.array([0, 0, 1])
    assert count_label_errors(probabilities, labels) == 0
    probabilities[1] = (0.1, 0.9)
    assert count_label_errors(probabilities, labels) == 1
    without_class = np.array([0, 0, 0])  # a class without labels has no threshold
    assert count_label_errors(probabilities, without_class) == 0


def unsure(targets: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Probabilities of heads that get all labels right, each more or less surely."""
    distance = np.random.default_rng(3).uniform(0, 0.4, targets.shape)
    return np.where(targets, 1 - distance, distance).astype(np.float32)


def test_labels_that_are_missing_or_wrong_are_suspects() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random((200, 3)) < [0.5, 0.3, 0.02]
    changed = rng.choice(200, 12, replace=False)
    targets = truth.copy()
    targets[changed, changed % 2] ^= True
    found = find_multi_label_suspects(unsure(truth), targets, ROWS)
    assert set(found.rows) <= set(ROWS[changed])
    assert len(found.rows) >= 6  # as many as are above the mean probability
    np.testing.assert_array_equal(found.suggested, truth[found.rows - 1000])
    assert (np.diff(found.label_scores) >= 0).all()
    np.testing.assert_allclose(found.label_scores + found.suggested_scores, 1)
    assert (found.examined, found.reason) == (200, "")


def test_rare_labels_and_pictures_without_an_answer_are_not_examined() -> None:
    targets = np.zeros((200, 2), np.bool_)
    targets[: MIN_LABELLED - 1, 0] = targets[:100, 1] = True
    probabilities = unsure(targets)
    probabilities[150, 0] = 1  # the label is rare
    probabilities[160, 1] = 1
    probabilities[161:] = np.nan
    found = find_multi_label_suspects(probabilities, targets, ROWS)
    assert (found.rows.tolist(), found.examined) == ([1160], 161)
    rare = find_multi_label_suspects(probabilities[:, :1], targets[:, :1], ROWS)
    assert len(rare.rows) == rare.examined == 0
    assert rare.reason.startswith("no label has 10 pictures or more, and an F1 score of 0.8")


def test_a_label_that_heads_do_not_recognise_is_not_examined() -> None:
    targets = np.zeros((200, 2), np.bool_)
    targets[:20, 0] = targets[:100, 1] = True
    probabilities = unsure(targets)
    probabilities[7:20, 0] = 0.1  # most pictures with the label, but 93% of all are right
    probabilities[110, 1] = 0.99
    found = find_multi_label_suspects(probabilities, targets, ROWS)
    assert found.rows.tolist() == [1110]
