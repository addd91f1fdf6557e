from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from plugins.base import WeightsError
from trainers.evaluation.selection import ValidationResult
from trainers.features.batches import Batches
from trainers.multi_label import training
from trainers.phases import fine_tuning
from trainers.phases.context import TrainingContext
from trainers.phases.training_loop import FineTuningResult

Start = Callable[..., TrainingContext]


def test_the_head_is_trained_on_all_pictures_except_the_test(start: Start) -> None:
    context = start()
    trained = training.train(context)
    dataset = context.dataset
    used = np.sort(np.concatenate([dataset.rows("train"), dataset.rows("validation")]))
    assert trained.is_refitted
    assert trained.held_out is not None
    assert trained.held_out.rows.tolist() == used.tolist()
    assert trained.selection["head"]["folds"] == 5
    assert trained.selection["head"]["n"] == len(used)
    assert min(row["val_loss"] or 9 for row in trained.history["head"]) < 0.69  # of always 0.5
    assert trained.embed is not None
    embeddings = trained.embed(np.arange(3))
    probabilities = np.asarray(trained.classifier.head(embeddings, training=False))
    assert probabilities.shape == (3, 4)
    assert (np.abs(probabilities.sum(axis=1) - 1) > 1e-3).any()  # each label has its own
    embeddings = context.network.embedder(context.validation.images[:].astype(np.float32))
    probabilities = np.asarray(trained.classifier.head(embeddings, training=False))
    truth = dataset.targets[dataset.rows("validation")]
    expected = ValidationResult.from_probabilities(probabilities, truth)
    np.testing.assert_allclose(trained.selected.result.losses, expected.losses, atol=1e-4)
    assert "fewer than 60 training pictures per class" in trained.decision
    assert "mean average precision" in trained.decision


def test_with_many_pictures_the_validation_pictures_are_held_out(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = start()
    monkeypatch.setattr(training, "MAX_PICTURES", 20)
    trained = training.train(context)
    assert trained.selection["head"]["method"] == "validation"
    assert trained.selection["head"]["n"] == len(context.dataset.rows("validation"))
    assert not trained.is_refitted
    losses = [row["val_loss"] for row in trained.history["head"]]
    assert trained.selected.result.loss == pytest.approx(
        min(loss or 9 for loss in losses), rel=0.01
    )


def test_without_time_one_head_of_one_view_is_trained(start: Start) -> None:
    context = start(time_budget=1e-9)
    head = training.train_head(context)
    assert (head.views, len(head.history)) == (1, 1)
    refitted = training.refit(context, head)
    assert refitted.held_out is None
    assert refitted.model is head.model


def test_embeddings_that_are_not_finite_are_an_error(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = training._embed

    def spoil(*arguments: Any) -> Any:
        embeddings = embed(*arguments)
        embeddings[0] = np.nan
        return embeddings

    monkeypatch.setattr(training, "_embed", spoil)
    with pytest.raises(WeightsError, match="are infinite or not a number"):
        training.train_head(start())


@pytest.mark.slow
def test_fine_tuning_follows_and_a_resumed_run_has_its_result(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, targets = fine_tuning.fit, []

    def fit_and_look(model: keras.Model, train: Batches, *others: Any) -> FineTuningResult:
        targets.append(train[0][1])
        return fit(model, train, *others)

    monkeypatch.setattr(fine_tuning, "fit", fit_and_look)
    options = {"strategy": "fine-tune", "fine_tune_epochs": 2}
    trained = training.train(start(**options))
    assert set(targets[0].ravel()) == {0, 1}  # no mixup
    rows = trained.history["fine-tuning"]
    assert len(rows) == 2
    assert all(0 <= (row["accuracy"] or 0) <= 1 for row in rows)
    assert "validation loss" in trained.decision
    json.dumps(trained.record(), allow_nan=False)
    resumed = training.train(start(**options, resume=True))
    assert resumed.record() == trained.record()


def test_fine_tuning_starts_at_the_minimum_of_its_loss(start: Start) -> None:
    """The penalty of the head is that of the regressions, so their weights are the best ones."""
    context = start(flip="none")
    rows = context.dataset.rows("train")
    embeddings, truth = training._embed(context, rows, 1), context.dataset.targets[rows]
    (regressions,) = training.fit_path(embeddings, truth, (0.1,))
    head = training._build_head(regressions, 0.1 * len(rows))
    kernel = head.get_layer("logits").kernel
    with tf.GradientTape(persistent=True) as tape:
        probabilities = head(embeddings[:, 0], training=False)
        losses = keras.losses.binary_crossentropy(truth.astype(np.float32), probabilities)
        penalty = head.losses[0]
        loss = tf.reduce_mean(losses) + penalty
    gradient, of_penalty = (tape.gradient(part, kernel.value) for part in (loss, penalty))
    assert np.abs(gradient).max() < 0.02 * np.abs(of_penalty).max()
