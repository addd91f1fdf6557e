from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trainers.multi_label import training
from trainers.phases.context import TrainingContext


def test_the_head_is_trained_on_all_pictures_except_the_test(context: TrainingContext) -> None:
    trained = training.train(context)
    dataset = context.dataset
    used = np.sort(np.concatenate([dataset.rows("train"), dataset.rows("validation")]))
    assert trained.trained_on.tolist() == used.tolist()
    assert trained.held_out.rows.tolist() == used.tolist()
    assert trained.folds == 5
    assert {row["views"] for row in trained.history} == {1, 4}
    assert min(row["val_loss"] for row in trained.history) < 0.69  # of always answering 0.5
    embeddings = trained.embed(np.arange(3))
    probabilities = np.asarray(trained.classifier.head(embeddings, training=False))
    assert probabilities.shape == (3, 4)
    assert (np.abs(probabilities.sum(axis=1) - 1) > 1e-3).any()  # each label has its own
    assert trained.expected.rows.tolist() == dataset.rows("validation").tolist()
    assert "5 folds" in trained.decision


def test_with_many_pictures_the_validation_pictures_are_held_out(
    context: TrainingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "MAX_PICTURES", 20)
    trained = training.train(context)
    assert trained.trained_on.tolist() == context.dataset.rows("train").tolist()
    assert trained.held_out.rows.tolist() == context.dataset.rows("validation").tolist()
    assert not training.record(trained)["shipped"]["is_refitted"]


def test_without_time_one_view_is_used(context: TrainingContext) -> None:
    config = context.config.model_copy(update={"time_budget": 1e-9})
    trained = training.train(replace(context, config=config))
    assert {row["views"] for row in trained.history} == {1}
