from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pytest

from trainers.evaluation.selection import ValidationResult
from trainers.model.classifier import Classifier
from trainers.phases import transfer_learning
from trainers.phases.context import TrainingContext
from trainers.phases.training_loop import FineTuningResult

Start = Callable[..., TrainingContext]


@pytest.mark.slow
def test_the_head_is_solved_and_the_backbone_is_unchanged(start: Start) -> None:
    context = start(strategy="features")
    weights_before = context.network.body.get_weights()
    trained = transfer_learning.train(context)
    assert set(trained.history) == {"head"}
    assert all(map(np.array_equal, weights_before, context.network.body.get_weights()))
    images = context.validation.images[:].astype(np.float32)
    answers = np.asarray(trained.classifier.build_model()(images, training=False)["probabilities"])
    assert (answers.argmax(axis=1) == context.validation_labels).all()
    assert trained.decision.startswith("the model is the linear head")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tuned_loss", "accuracy", "expected"),
    [
        (0.0, 1.0, "fine-tuned network: it is as accurate as the linear head"),
        (9.0, 1.0, "linear head: fine-tuning raised the validation loss"),
        (0.0, 0.9, "linear head: fine-tuning raised the number of misclassified"),
    ],
)
def test_the_fine_tuned_model_is_used_if_it_is_not_worse(
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    tuned_loss: float,
    accuracy: float,
    expected: str,
) -> None:
    context = start(strategy="fine-tune", fine_tune_epochs=1)

    def move_everything(classifier: Classifier, *_: object) -> FineTuningResult:
        classifier.assign_weights([weight + 1 for weight in classifier.get_weights()])
        count = len(context.validation)
        hits = np.arange(count) < round(count * accuracy)
        return FineTuningResult(ValidationResult(np.full(count, tuned_loss), hits))

    weights_before = context.network.body.get_weights()
    monkeypatch.setattr(transfer_learning, "fine_tune", move_everything)
    trained = transfer_learning.train(context)
    assert trained.decision.startswith(f"the model is the {expected}")
    figures = r"\(validation loss [\d.]+ with fine-tuning, [\d.]+ without; .* 1.0000 without; .*\)$"
    assert re.search(figures, trained.decision)
    is_fine_tuned = not np.array_equal(weights_before[0], trained.classifier.get_weights()[0])
    assert is_fine_tuned == expected.startswith("fine-tuned")


@pytest.mark.slow
def test_two_pictures_per_class_are_enough_to_run(start: Start) -> None:
    context = start(red=2, blue=2)
    assert len(context.train) == len(context.validation) == 2
    trained = transfer_learning.train(context)
    assert "no class has two different training pictures" in trained.decision
    assert "no picture is left for validation" in trained.decision
    assert trained.selection["head"] == {
        "method": "none",
        "folds": 0,
        "n": 0,
        "loss": None,
        "accuracy": None,
    }
    assert trained.selection["flip"]["chosen"] == "horizontal"
    json.dumps(trained.selection, allow_nan=False)
    json.dumps(trained.history, allow_nan=False)


@pytest.mark.slow
def test_few_pictures_are_cross_validated_and_the_decision_says_so(start: Start) -> None:
    """Three pictures per class leave one for training, so the training loss says nothing."""
    trained = transfer_learning.train(start(red=3, blue=3))
    assert "cross-validated loss" in trained.decision
    assert trained.selection["head"]["method"] == "cross-validation"
    assert trained.selection["head"]["n"] == 4
