"""The exported model must have the losses and answers of the selected one on the same pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.errors import ParityError
from trainers.evaluation.fidelity import ROUNDINGS, SelectedModel, require_faithful
from trainers.evaluation.selection import ValidationResult
from trainers.exporting import bundle_writer
from trainers.phases import fine_tuning, transfer_learning
from trainers.phases.context import TrainingContext
from trainers.phases.transfer_learning import TrainedClassifier
from trainers.progress import Progress

Start = Callable[..., TrainingContext]
LOSSES = np.linspace(0.1, 0.9, 100)


def answers(losses: object, wrong: int = 10) -> ValidationResult:
    """The result on pictures with these losses; the last `wrong` answers are wrong."""
    losses = np.asarray(losses)
    return ValidationResult(losses, np.arange(len(losses)) < len(losses) - wrong)


def selected(computed_in: str = "float32") -> SelectedModel:
    return SelectedModel("fine-tuning", ValidationResult(LOSSES, np.arange(100) < 90), computed_in)


def test_equal_figures_pass_and_are_recorded() -> None:
    record = require_faithful(selected(), answers(LOSSES))
    assert record["exported"] == {"loss": pytest.approx(0.5), "accuracy": 0.9}
    assert record["loss_difference"]["mean_of_pictures"] == 0
    assert record["flips"] == {"pictures": 0, "allowed": 1}


@pytest.mark.parametrize("computed_in", list(ROUNDINGS))
def test_rounding_passes_and_more_does_not(computed_in: str) -> None:
    rounding = ROUNDINGS[computed_in]
    sign = np.where(np.arange(100) % 2, 1, -1)
    allowed = max(1, round(100 * rounding.changed_share))
    require_faithful(
        selected(computed_in), answers(LOSSES + 0.9 * rounding.loss_difference * sign, 10 + allowed)
    )
    with pytest.raises(ParityError):  # although the mean is unchanged
        require_faithful(
            selected(computed_in), answers(LOSSES + 1.1 * rounding.loss_difference * sign)
        )
    with pytest.raises(ParityError):
        require_faithful(selected(computed_in), answers(LOSSES + 2e-5, 11 + allowed))


def test_changed_answers_count_even_if_the_accuracy_is_equal() -> None:
    exported = answers(LOSSES + 2e-5)
    exported.hits[[0, 1, 98, 99]] = [False, False, True, True]
    assert exported.accuracy == selected().result.accuracy
    with pytest.raises(ParityError, match=r"classifies correctly: 4 \(allowed: 1\)"):
        require_faithful(selected(), exported)


def test_ties_between_classes_may_change_by_rounding() -> None:
    assert require_faithful(selected(), answers(LOSSES + 5e-7, 30))["flips"]["pictures"] == 0


def test_losses_that_are_not_numbers_do_not_pass() -> None:
    with pytest.raises(ParityError):
        require_faithful(selected(), answers(LOSSES * np.nan))


def test_the_message_has_figures_and_advice() -> None:
    with pytest.raises(ParityError) as caught:
        require_faithful(selected(), answers(LOSSES + 1, 50))
    message = str(caught.value)
    assert re.search(r"the selected model \(fine-tuning\): .* Pictures compared: 100\.", message)
    assert "loss 1.5000 instead of 0.5000, accuracy 0.5000 instead of 0.9000" in message
    assert "no bundle was written" in message
    assert "--precision float32" in message


def train_and_write(context: TrainingContext, tmp_path: Path) -> tuple[TrainedClassifier, object]:
    trained = transfer_learning.train(context)
    work = tmp_path / "work-bundle"
    work.mkdir()
    context.config.output.mkdir(exist_ok=True)
    config = context.config
    silent = Progress(is_quiet=True)
    _, metrics = bundle_writer.write_bundle(trained, context.dataset, [], config, work, silent)
    return trained, metrics["fidelity"]


@pytest.mark.slow
def test_a_trained_copy_that_was_not_copied_back_is_not_published(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = start(
        strategy="fine-tune", fine_tune_epochs=3, precision="bfloat16", fine_tune_learning_rate=0.01
    )
    monkeypatch.setattr(fine_tuning, "load_state", lambda model, source: None)
    with pytest.raises(ParityError, match=r"the selected model \(fine-tuning\)"):
        train_and_write(context, tmp_path)
    assert not list((tmp_path / "out").glob("classifier-*"))


@pytest.mark.slow
@pytest.mark.parametrize(("red", "blue"), [(30, 30), (2, 2)], ids=["validated", "too few"])
def test_the_selected_model_is_published(start: Start, tmp_path: Path, red: int, blue: int) -> None:
    _, record = train_and_write(start(red=red, blue=blue, strategy="features"), tmp_path)
    assert record["loss_difference"]["mean_of_pictures"] < 1e-4
