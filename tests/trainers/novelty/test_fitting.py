from __future__ import annotations

import numpy as np
import pytest

from service.engine.classification import ModelOutputs
from service.engine.novelty import measure_signals
from tests.trainers.novelty.conftest import CLASSES, DrawEmbeddings
from trainers.novelty.fitting import MAX_SIGNALS, fit_novelty, fit_references


def outputs(embeddings: np.ndarray) -> ModelOutputs:
    return ModelOutputs(np.full((len(embeddings), CLASSES), 0.25, np.float32), embeddings)


def test_references_keep_the_distances(draw_embeddings: DrawEmbeddings) -> None:
    embeddings, _ = draw_embeddings(200, 0)
    references = fit_references(embeddings, np.arange(200) + 7)
    assert references.rows.tolist() == list(range(7, 207))
    np.testing.assert_allclose(
        references.components.T @ references.components, np.eye(40), atol=2e-3
    )
    normalised = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    exact = np.square(normalised[:, np.newaxis] - normalised).sum(axis=2)
    neighbours = np.sort(exact, axis=1)[:, 1:11].mean(axis=1)
    np.testing.assert_allclose(references.spacings, neighbours, rtol=0.01, atol=1e-4)


def test_few_components_keep_the_lengths(
    draw_embeddings: DrawEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.novelty.fitting.MAX_COMPONENTS", 4)
    embeddings, _ = draw_embeddings(200, 0)
    references = fit_references(embeddings, np.arange(200))
    assert references.positions.shape == (4, 200)
    normalised = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    lengths = np.square(normalised - normalised.mean(axis=0)).sum(axis=1)
    kept = np.square(references.positions).sum(axis=0) + references.heights
    np.testing.assert_allclose(kept, lengths, rtol=0.01)


def test_copies_of_a_picture_do_not_make_others_seem_far(draw_embeddings: DrawEmbeddings) -> None:
    embeddings, _ = draw_embeddings(100, 0)
    embeddings[:40] = embeddings[0]
    references = fit_references(embeddings, np.arange(100))
    assert references.spacings.min() == pytest.approx(0.1 * np.median(references.spacings))


@pytest.mark.parametrize("count", [2, 5])
def test_few_training_pictures_are_enough(draw_embeddings: DrawEmbeddings, count: int) -> None:
    embeddings, _ = draw_embeddings(count, 0)
    novelty = fit_novelty(
        fit_references(embeddings, np.arange(count)), outputs(draw_embeddings(10, 1)[0])
    )
    far = novelty.measure(outputs(-embeddings[:1]))
    assert 0.95 < far[0] < 1


def test_equal_embeddings_are_no_error() -> None:
    embeddings = np.ones((20, 5), np.float32)
    novelty = fit_novelty(fit_references(embeddings, np.arange(20)), outputs(embeddings))
    assert np.isfinite(novelty.measure(outputs(-embeddings))).all()


def test_novelty_is_a_quantile_of_the_validation_pictures(draw_embeddings: DrawEmbeddings) -> None:
    embeddings, _ = draw_embeddings(300, 0)
    references = fit_references(embeddings, np.arange(300))
    validation = outputs(draw_embeddings(99, 1)[0])
    novelty = fit_novelty(references, validation)
    novelties = np.sort(novelty.measure(validation))
    np.testing.assert_allclose(novelties, np.arange(99) / 100, atol=0.0101)  # two may tie
    assert 0.01 < (novelty.measure(outputs(draw_embeddings(500, 2)[0])) > 0.95).mean() < 0.12


def test_many_validation_pictures_are_thinned_out(draw_embeddings: DrawEmbeddings) -> None:
    references = fit_references(draw_embeddings(50, 0)[0], np.arange(50))
    validation = outputs(draw_embeddings(2500, 1)[0])
    novelty = fit_novelty(references, validation)
    assert novelty.signals.shape == (3, MAX_SIGNALS)
    signals = measure_signals(references, validation)
    np.testing.assert_array_equal(novelty.signals.max(axis=1), signals.max(axis=1))
    np.testing.assert_allclose(np.median(novelty.measure(validation)), 0.5, atol=0.01)


def test_the_file_is_small(draw_embeddings: DrawEmbeddings) -> None:
    embeddings = np.random.default_rng(0).normal(size=(300, 2048)).astype(np.float32)
    references = fit_references(embeddings, np.arange(300))
    content = fit_novelty(references, outputs(embeddings[:5])).to_bytes()
    assert len(content) < 0.5e6
