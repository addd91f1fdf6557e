from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainers.novelty import embedded_pictures
from trainers.novelty.embedded_pictures import (
    EmbeddedPictures,
    choose_pictures,
    embed_training_pictures,
)


def test_about_as_many_pictures_of_each_class_are_chosen() -> None:
    labels = np.repeat([0, 1, 2, 3], [500, 3, 40, 200])
    chosen = choose_pictures(labels, 100)
    assert np.bincount(labels[chosen]).tolist() == [33, 3, 32, 32]
    assert (np.diff(chosen) > 0).all()
    assert choose_pictures(labels, 1000).tolist() == list(range(743))
    assert len(np.unique(labels[choose_pictures(labels, 3)])) == 3
    assert not len(choose_pictures(labels[:0], 9))


def test_a_sample_has_only_the_given_classes() -> None:
    rows, labels = np.arange(100, 200), np.arange(100) % 5
    sample = EmbeddedPictures(rows, labels, rows[:, np.newaxis]).sample(np.array([1, 3]), 12)
    assert np.bincount(sample.labels).tolist() == [0, 6, 0, 6]
    np.testing.assert_array_equal(sample.embeddings[:, 0], sample.rows)
    np.testing.assert_array_equal(sample.rows % 5, sample.labels)


@pytest.mark.parametrize("most", [10, 1000])
def test_only_training_pictures_are_embedded(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_pictures, "MAX_PICTURES", most)
    train = np.arange(1, 60, 2)
    dataset: Any = SimpleNamespace(labels=np.arange(60) % 3, rows=lambda split: train)
    pictures = embed_training_pictures(dataset, lambda positions: train[positions][:, np.newaxis])
    assert len(pictures.rows) == min(most, 30)
    np.testing.assert_array_equal(pictures.rows, pictures.embeddings[:, 0])
    np.testing.assert_array_equal(pictures.labels, pictures.rows % 3)
