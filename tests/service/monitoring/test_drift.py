"""The drift of drawn embeddings: ordinary pictures show none, shifted ones do."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.classification import Classification
from service.monitoring.drift import INTERVAL, KINDS, UNKNOWN_SHARE, WINDOW, DriftMonitor
from service.monitoring.drift_reference import DriftReference

WIDTH, CLASSES = 8, 3
MEANS = 4 * np.eye(CLASSES, WIDTH, dtype=np.float32)


class Traffic:
    """Draws the outputs of a model, and keeps the ratios that a monitor shows."""

    def __init__(self, reference: DriftReference | None = None) -> None:
        self.rng = np.random.default_rng(0)
        self.ratios: dict[str, float] = {}
        self.shown = 0
        self.monitor = DriftMonitor(reference or make_reference(), self.show)

    def show(self, kind: str, ratio: float) -> None:
        self.ratios[kind] = ratio
        self.shown += 1

    def send(
        self,
        pictures: int,
        *,
        shift: float = 0,
        score: float = 0.9,
        labels: NDArray[np.int64] | None = None,
        novelty: float | None = 0.5,
    ) -> dict[str, float]:
        """Send pictures; return the ratios after the last of them."""
        for _ in range(pictures):
            chosen = self.rng.choice(CLASSES if labels is None else labels)
            noise = self.rng.normal(shift, 1, WIDTH).astype(np.float32)
            highest = np.clip(self.rng.normal(score, 0.05), 0.4, 1)
            probabilities = np.full(CLASSES, (1 - highest) / (CLASSES - 1), np.float32)
            probabilities[chosen] = highest
            self.monitor.add(Classification(probabilities, MEANS[chosen] + noise, novelty))
        return self.ratios


def make_reference() -> DriftReference:
    arrays = (np.eye(WIDTH), MEANS, [100] * 3, [1 / 3] * 3, 0.9, 0.05, 100)
    return DriftReference(*(np.asarray(array, np.float32) for array in arrays))


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


def test_nothing_is_shown_before_the_window_is_full(traffic: Traffic) -> None:
    assert traffic.ratios == dict.fromkeys(KINDS, 0.0)
    traffic.send(WINDOW - 1, shift=9)
    assert traffic.shown == len(KINDS)
    assert traffic.send(1)["embedding"] > 1


def test_ratios_are_shown_at_intervals(traffic: Traffic) -> None:
    traffic.send(WINDOW + INTERVAL - 1)
    assert traffic.shown == 2 * len(KINDS)
    traffic.send(1)
    assert traffic.shown == 3 * len(KINDS)


def test_ordinary_pictures_are_no_drift(traffic: Traffic) -> None:
    highest = dict.fromkeys(KINDS, 0.0)
    for _ in range(300):
        for kind, ratio in traffic.send(INTERVAL).items():
            highest[kind] = max(highest[kind], ratio)
    assert all(0 < highest[kind] < 0.9 for kind in ("embedding", "score", "class")), highest
    assert highest["novelty"] == 0


def test_shifted_embeddings_are_drift_until_they_have_left_the_window(traffic: Traffic) -> None:
    traffic.send(2 * WINDOW)
    ratios = traffic.send(WINDOW, shift=1.5)
    assert ratios["embedding"] > 2
    assert max(ratios["score"], ratios["class"], ratios["novelty"]) < 1
    assert traffic.send(2 * WINDOW)["embedding"] < 1


def test_other_class_shares_drift_only_in_the_class(traffic: Traffic) -> None:
    ratios = traffic.send(2 * WINDOW, labels=np.array([1]))
    assert ratios["class"] > 2
    assert max(ratios["embedding"], ratios["score"]) < 0.9


def test_a_class_with_few_training_pictures_may_differ_more() -> None:
    """The mean of its embeddings is uncertain, so a difference from it says little."""
    few = np.array([100, 1, 100], np.float32)
    many, few_pictures = Traffic(), Traffic(replace(make_reference(), class_counts=few))
    ratios = [
        sent.send(WINDOW, shift=1.5, labels=np.array([1]))["embedding"]
        for sent in (many, few_pictures)
    ]
    assert ratios[0] > 2
    assert ratios[1] < 0.5


def test_a_rare_class_is_no_drift() -> None:
    shares = np.array([0.5, 0.4999, 0.0001], np.float32)
    rare = Traffic(replace(make_reference(), class_shares=shares))
    rare.send(WINDOW, labels=np.array([0, 1]))
    assert rare.send(INTERVAL, labels=np.array([0, 0, 1, 1, 2]))["class"] < 1


def test_lower_scores_are_drift_and_higher_ones_are_not(traffic: Traffic) -> None:
    assert traffic.send(WINDOW, score=0.8)["score"] > 1
    assert traffic.send(WINDOW, score=1)["score"] == 0


def test_many_unknown_pictures_are_drift(traffic: Traffic) -> None:
    traffic.send(WINDOW)
    assert traffic.send(WINDOW // 2, novelty=0.99)["novelty"] == pytest.approx(0.5 / UNKNOWN_SHARE)
    assert traffic.send(WINDOW, novelty=None)["novelty"] == 0


def test_a_closed_monitor_shows_0(traffic: Traffic) -> None:
    """A replaced model may still classify its last pictures after the monitor is closed."""
    traffic.send(WINDOW, shift=9)
    traffic.monitor.close()
    assert traffic.send(WINDOW, shift=9) == dict.fromkeys(KINDS, 0.0)


def test_threads_may_add_at_the_same_time() -> None:
    traffic = Traffic()
    senders = [threading.Thread(target=traffic.send, args=(500,)) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    # 2000 pictures: the ratios after picture 100, 110 ... 2000, and the zeros of the beginning.
    assert traffic.shown == len(KINDS) * (1 + (2000 - WINDOW) // INTERVAL + 1)
