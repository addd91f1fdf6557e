from __future__ import annotations

import numpy as np
import pytest

from tests.trainers.novelty.conftest import DrawEmbeddings
from trainers.novelty import held_out
from trainers.novelty.embedded_pictures import EmbeddedPictures
from trainers.novelty.held_out import measure_held_out

NAMES = tuple(f"class {number}" for number in range(100))


def draw_splits(draw: DrawEmbeddings, classes: int) -> tuple[EmbeddedPictures, EmbeddedPictures]:
    """Draw training and validation pictures."""
    drawn = (draw(count * classes, seed, classes) for seed, count in enumerate((60, 15)))
    train, validation = (
        EmbeddedPictures(np.arange(len(labels)), labels, embeddings) for embeddings, labels in drawn
    )
    return train, validation


def test_each_class_is_held_out_in_turn(draw_embeddings: DrawEmbeddings) -> None:
    figures = measure_held_out(*draw_splits(draw_embeddings, 4), NAMES)
    assert figures is not None
    assert [row["label"] for row in figures["classes"]] == list(NAMES[:4])
    assert figures["auroc"] == pytest.approx(np.mean([row["auroc"] for row in figures["classes"]]))
    assert figures["auroc"] > 0.95
    assert 0.7 < figures["probability_auroc"] < 1


def test_the_figures_are_those_of_chance_if_classes_do_not_differ(
    draw_embeddings: DrawEmbeddings,
) -> None:
    splits = draw_splits(draw_embeddings, 4)
    rng = np.random.default_rng(0)
    for split in splits:
        rng.shuffle(split.labels)
    figures = measure_held_out(*splits, NAMES)
    assert figures is not None
    assert figures["auroc"] == pytest.approx(0.5, abs=0.1)
    assert figures["probability_auroc"] == pytest.approx(0.5, abs=0.1)


def test_few_pictures_do_not_flatter(draw_embeddings: DrawEmbeddings) -> None:
    """The pictures that the scales are fitted on are not measured: that would give 0.53 here."""
    aurocs = []
    for seed in range(10):
        drawn = (draw_embeddings(count, 2 * seed + count % 2, 4) for count in (400, 13))
        train, validation = (
            EmbeddedPictures(np.arange(len(labels)), labels, embeddings)
            for embeddings, labels in drawn
        )
        rng = np.random.default_rng(seed)
        rng.shuffle(train.labels)
        rng.shuffle(validation.labels)
        figures = measure_held_out(train, validation, NAMES)
        assert figures is not None
        aurocs.append(figures["auroc"])
    assert np.mean(aurocs) == pytest.approx(0.5, abs=0.02)


def test_two_classes_are_too_few(draw_embeddings: DrawEmbeddings) -> None:
    assert measure_held_out(*draw_splits(draw_embeddings, 2), NAMES) is None


def test_a_class_is_left_out_if_it_has_all_validation_pictures(
    draw_embeddings: DrawEmbeddings,
) -> None:
    train, validation = draw_splits(draw_embeddings, 3)
    validation.labels[:] = 1
    figures = measure_held_out(train, validation, NAMES)
    assert figures is not None
    assert [row["label"] for row in figures["classes"]] == ["class 0", "class 2"]


def test_of_many_classes_and_pictures_only_some_are_used(
    draw_embeddings: DrawEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "MAX_CLASSES", 6)
    monkeypatch.setattr(held_out, "MAX_HELD_OUT", 3)
    monkeypatch.setattr(held_out, "MAX_PICTURES", 120)
    figures = measure_held_out(*draw_splits(draw_embeddings, 11), NAMES)
    assert figures is not None
    assert [row["label"] for row in figures["classes"]] == ["class 0", "class 4", "class 10"]
