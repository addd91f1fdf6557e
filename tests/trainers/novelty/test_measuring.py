from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle.manifest import NOVELTY
from service.engine.predictor import Predictor
from tests.trainers.novelty.conftest import CLASSES, DrawEmbeddings
from trainers.evaluation.predictions import Predictions
from trainers.exporting import bundle_writer
from trainers.novelty.embedded_pictures import EmbeddedPictures
from trainers.novelty.measuring import write_novelty
from trainers.phases import transfer_learning
from trainers.phases.context import TrainingContext
from trainers.progress import Progress, log

SILENT = Progress(is_quiet=True)
TRAIN, VALIDATION, TEST = slice(0, 200), slice(200, 260), slice(260, 360)


def write(
    path: Path, draw: DrawEmbeddings, validation: slice = VALIDATION
) -> dict[str, Any] | None:
    """Write the novelty for drawn embeddings. Half of the test pictures are of unknown classes."""
    embeddings, labels = draw(360, 0)
    embeddings[310:] = 6 - embeddings[310:]
    rows = np.arange(360)
    probabilities = np.full((360, CLASSES), 0.1, np.float32)
    probabilities[rows, labels] = 0.7

    def predictions(part: slice) -> Predictions:
        return Predictions(rows[part], labels[part], probabilities[part], embeddings[part])

    train = EmbeddedPictures(rows[TRAIN], labels[TRAIN], embeddings[TRAIN])
    return write_novelty(
        path,
        train,
        ("ant", "bee", "cow", "dog"),
        predictions(validation),
        predictions(TEST),
        SILENT,
    )


def test_metrics_count_the_unknown_test_pictures(
    tmp_path: Path, draw_embeddings: DrawEmbeddings
) -> None:
    figures = write(tmp_path / NOVELTY, draw_embeddings)
    assert figures is not None
    assert (figures["threshold"], figures["references"], figures["fitted_on"]) == (0.95, 200, 60)
    test = figures["test"]
    assert test["n"] == 100
    assert 50 <= test["unknown"] <= 60
    assert test["unknown_share"] == test["unknown"] / 100
    low, high = test["unknown_interval"]
    assert low < test["unknown_share"] < high
    assert len(figures["held_out"]["classes"]) == CLASSES
    assert (tmp_path / NOVELTY).is_file()


def test_with_too_few_validation_pictures_no_file_is_written(
    tmp_path: Path, draw_embeddings: DrawEmbeddings, caplog: pytest.LogCaptureFixture
) -> None:
    log.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, log.name):
        assert write(tmp_path / NOVELTY, draw_embeddings, slice(200, 209)) is None
    log.removeHandler(caplog.handler)
    assert not (tmp_path / NOVELTY).exists()
    assert "needs at least 10 validation pictures, and there are 9" in caplog.text


@pytest.mark.slow
def test_the_bundle_of_a_run_has_the_novelty(
    start: Callable[..., TrainingContext], tmp_path: Path
) -> None:
    context = start(red=60, blue=60, strategy="features")
    trained = transfer_learning.train(context)
    work = tmp_path / "work"
    for folder in (work, context.config.output):
        folder.mkdir()
    dataset = context.dataset
    bundle, metrics = bundle_writer.write_bundle(trained, dataset, [], context.config, work, SILENT)
    predictor = Predictor(bundle)
    rows = dataset.rows("test")
    novelties = [answer.novelty for answer in predictor.classify(dataset.images[rows])]
    assert sum(novelty > 0.95 for novelty in novelties) == metrics["novelty"]["test"]["unknown"]
    assert metrics["novelty"]["held_out"] is None  # there are only two classes
    stripes = np.zeros((1, 32, 32, 3), np.uint8)
    stripes[:, ::2] = 255
    assert predictor.classify(stripes)[0].novelty > 0.95
    assert trained.embed is not None
    train = dataset.rows("train")[:5]
    expected = predictor.embed(dataset.images[train])
    np.testing.assert_allclose(trained.embed(np.arange(5)), expected, atol=1e-4)


@pytest.mark.slow
def test_the_embeddings_of_a_fine_tuned_network_are_not_read_from_the_cache(
    start: Callable[..., TrainingContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_learning.selection, "should_replace", lambda *_: True)
    trained = transfer_learning.train(start(strategy="fine-tune", fine_tune_epochs=1))
    assert trained.phase == transfer_learning.FINE_TUNING
    assert trained.embed is None
