"""Runs both phases of transfer learning, and decides which weights are exported.

`train` trains a classifier that gives each picture one class. For pictures with several labels,
`trainers.multi_label` calls `run_phases` with heads of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from trainers import hardware
from trainers.evaluation import selection
from trainers.evaluation.fidelity import SelectedModel
from trainers.evaluation.predictions import Predictions
from trainers.guidance.advice import Advice
from trainers.heads.class_weights import ClassWeightEffect
from trainers.heads.head import Head
from trainers.model.classifier import Classifier, hash_weights
from trainers.phases import advising, flip_selection, head_phase, refitting
from trainers.phases.checkpoint import Checkpoint
from trainers.phases.context import TrainingContext
from trainers.phases.fine_tuning import fine_tune
from trainers.phases.plan import Conditions, Plan, make_plan
from trainers.phases.training_loop import FINE_TUNING, FineTuningResult
from trainers.progress import log
from trainers.resources import precision
from trainers.resources.time_budget import TimeBudgetSpentError

HEAD_PHASE = "head"
"""The name of the first phase in metrics.json and TensorBoard."""

TrainHead = Callable[[TrainingContext], Head]
Refit = Callable[[TrainingContext, Head], Head]
"""Fits a head once more, on the validation pictures, too, if that is possible."""


@dataclass(frozen=True)
class TrainedClassifier:
    """The classifier with the weights that are exported, and how they were trained and selected.

    Attributes:
        history: the rows of each phase, by the name of the phase. A row has the figures of one
            epoch, or, for the linear head, of one value of C (the inverse regularisation strength).
        plan: how the classifier was fine-tuned, or why it was not.
        decision: a sentence for the log and the report: which weights are exported, and why.
        selected: the validation result with the exported weights, and the number format in which
            it was computed. The exported model must reproduce this result.
        selection: how the head and the mirrored views were selected, for metrics.json.
        phase: the name of the phase whose weights are exported.
        epoch: the best epoch of fine-tuning, counted from 1, even if its weights are not exported;
            0 without fine-tuning.
        class_weight_effect: for each class, the recall with and without class weights; None if the
            classes are balanced or the time budget was spent.
        held_out: the predictions of cross-validation for the pictures that the head was trained on,
            to calibrate the scores with; None if the model was not trained on the validation
            pictures.
        embedder: the ONNX model of the embedder, with the output `embedding`; None if the backbone
            was fine-tuned, so that it must be converted again.
        advice: what to do next.
        folds: the figures of cross-validation for metrics.json; None without --folds.
    """

    classifier: Classifier
    history: dict[str, list[dict[str, float | None]]]
    plan: Plan
    decision: str
    selected: SelectedModel
    selection: dict[str, Any] = field(default_factory=dict)
    phase: str = HEAD_PHASE
    epoch: int = 0
    class_weight_effect: ClassWeightEffect | None = None
    embed: Callable[[NDArray[np.int64]], NDArray[np.float32]] | None = None
    embedder: onnx.ModelProto | None = None
    held_out: Predictions | None = None
    advice: Advice = field(default_factory=lambda: Advice.unknown(advising.NO_TIME))
    folds: dict[str, Any] | None = None

    @property
    def is_refitted(self) -> bool:
        """Whether the head was trained on the validation pictures, too."""
        return self.held_out is not None

    def record(self) -> dict[str, Any]:
        """Return the training as it is written to metrics.json."""
        return {
            "phases": self.history,
            "plan": self.plan.record(),
            "decision": self.decision,
            "selection": self.selection,
            "shipped": {
                "phase": self.phase,
                "best_fine_tuning_epoch": self.epoch,
                "is_refitted": self.is_refitted,
            },
        }


def train(context: TrainingContext) -> TrainedClassifier:
    """Train a classifier by `train_phases`, and find out what to do next."""
    trained, head = train_phases(context)
    effect = head_phase.measure_class_weights(context)
    trained_on = len(context.train) + trained.is_refitted * len(context.validation)
    advice = advising.advise(context, head.strength, trained_on)
    return replace(trained, class_weight_effect=effect, advice=advice)


def train_phases(context: TrainingContext) -> tuple[TrainedClassifier, Head]:
    """Choose the mirrored views, and run both phases; return the results of `run_phases`."""
    context, flip = flip_selection.resolve_flip(context)
    trained, head = run_phases(context, head_phase.train_head, refitting.refit)
    return replace(trained, selection={**trained.selection, "flip": flip.record()}), head


def run_phases(
    context: TrainingContext, train_head: TrainHead, refit: Refit
) -> tuple[TrainedClassifier, Head]:
    """Train the head, and then fine-tune if the plan says so.

    With --resume, the plan comes from the checkpoint if there is one, otherwise from `make_plan`.
    The fine-tuned weights are used only if `selection.should_replace` returns True. If the backbone
    is not fine-tuned, the head is fitted once more, on the validation pictures, too.

    Returns:
        The classifier, without advice, and the head before it was fitted once more.
    """
    # Before the head is trained, so that errors about --tensorboard and --resume come early.
    board, checkpoint = context.board, context.checkpoint()
    resumed_plan = checkpoint.load() if context.config.resume else None
    head = train_head(context)
    plan = resumed_plan or make_plan(context.config, head, conditions(context))
    for reason in plan.reasons:
        log.info("%s", reason)
    for step, row in enumerate(head.history, 1):
        board.add(HEAD_PHASE, step, row)
    network = context.network
    trained = TrainedClassifier(
        Classifier(
            network.backbone, network.body, network.embedder, head.model, hash_weights(network.body)
        ),
        history={HEAD_PHASE: head.history},
        plan=plan,
        decision=_explain_head(head, plan.reasons[1]),
        selected=SelectedModel(head.description, head.validation, _number_format("float32")),
        selection={"head": head.selection_result.record()},
    )
    if plan.epochs:
        trained = _fine_tune(trained, head, checkpoint, context)
    if trained.phase == HEAD_PHASE:
        trained = _use_head(trained, refit(context, head), context)
    return trained, head


def _fine_tune(
    trained: TrainedClassifier, head: Head, checkpoint: Checkpoint, context: TrainingContext
) -> TrainedClassifier:
    """Fine-tune the classifier, and choose between the fine-tuned weights and those before."""
    classifier, plan = trained.classifier, trained.plan
    head_weights = classifier.get_weights()
    try:
        tuned = fine_tune(classifier, plan, checkpoint, context)
    except TimeBudgetSpentError:
        reason = (
            "fine-tuning was skipped, because the time budget was spent before all feature maps "
            "were computed; the next run uses those that are in the cache"
        )
        return replace(trained, decision=_explain_head(head, reason))
    trained = replace(
        trained,
        history={**trained.history, FINE_TUNING: tuned.history},
        decision=_explain_fine_tuning(tuned, head, plan),
        epoch=tuned.epoch,
    )
    if not selection.should_replace(tuned.validation, head.validation):
        classifier.assign_weights(head_weights)
        return trained
    policy = precision.choose_policy(context.config.precision)
    selected = SelectedModel(FINE_TUNING, tuned.validation, _number_format(policy))
    return replace(trained, selected=selected, phase=FINE_TUNING)


def _use_head(
    trained: TrainedClassifier, head: Head, context: TrainingContext
) -> TrainedClassifier:
    """Return the classifier with the unchanged backbone and this head."""
    return replace(
        trained,
        classifier=replace(trained.classifier, head=head.model),
        selected=replace(trained.selected, result=head.validation),
        embed=lambda positions: head_phase.embed_training_pictures(context, positions),
        embedder=context.network.embedding_layers.onnx,
        held_out=head.held_out,
    )


def conditions(context: TrainingContext) -> Conditions:
    """Return the facts that the rules for fine-tuning consider."""
    dataset = context.dataset
    return Conditions(
        pictures=len(context.train),
        classes=len(dataset.classes),
        pictures_per_class=float(dataset.count_classes(dataset.rows("train")).mean()),
        validation_pictures=len(dataset.rows("validation")),
        seconds_left=context.time_budget.seconds_left(),
    )


def _number_format(policy: str) -> str:
    """Return the number format of results under a dtype policy: a key of `fidelity.ROUNDINGS`.

    TensorFloat-32 counts as 16 bits, because it rounds the factors of a product as float16 does.
    """
    is_float32 = policy == "float32" and hardware.device_kind() != "GPU TF32"
    return "float32" if is_float32 else "16 bits"


def _explain_head(head: Head, reason: str) -> str:
    """Say why the head is used without fine-tuning."""
    return f"the model is the linear head: {reason} ({head.figures})"


def _explain_fine_tuning(tuned: FineTuningResult, head: Head, plan: Plan) -> str:
    """Say which is used after fine-tuning, the fine-tuned network or the head, and why."""
    new, old = tuned.validation, head.validation
    if not math.isfinite(new.loss):
        return (
            f"the model is the linear head: fine-tuning failed, because its loss became infinite "
            "or not a number; lower the learning rate with --fine-tune-learning-rate (it was "
            f"{plan.learning_rate:g})"
        )
    chosen = "fine-tuned network" if selection.should_replace(new, old) else "linear head"
    return (
        f"the model is the {chosen}: {selection.explain_choice(new, old)} (validation loss "
        f"{new.loss:.4f} with fine-tuning, {old.loss:.4f} without; {new.score_name} "
        f"{new.score:.4f} with, {old.score:.4f} without; head: {head.details})"
    )
