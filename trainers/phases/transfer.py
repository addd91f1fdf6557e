"""Transfer learning in two phases: the head on a frozen backbone, then its last layers too."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from trainers import hardware
from trainers.evaluation import selection
from trainers.evaluation.fidelity import Selected
from trainers.heads.class_weights import ClassWeightEffect
from trainers.heads.head import Head
from trainers.model.classifier import Classifier, hash_weights
from trainers.phases import head_phase, mirroring
from trainers.phases.context import TrainingContext
from trainers.phases.fine_tuning import fine_tune
from trainers.phases.plan import Conditions, Plan, make_plan
from trainers.phases.training_loop import FINE_TUNING, FineTuningResult
from trainers.progress import log
from trainers.resources import precision
from trainers.resources.time_budget import TimeBudgetSpentError

HEAD = "head"
"""The name of the first phase in metrics.json and TensorBoard."""


@dataclass(frozen=True)
class Trained:
    """The classifier with the weights that are exported, and how they came about.

    Attributes:
        history: a list of rows for each phase.
        decision: which phase's weights are exported, and why, in words.
        selected: the answers by which it was selected, which the exported model must reproduce.
        selection: how head and mirrored views were selected, for metrics.json.
        phase: the phase whose weights are exported.
        epoch: the best epoch of fine-tuning, from 1, even if it is not used; 0 without any.
        class_weight_effect: what class weights change, if classes are imbalanced.
    """

    classifier: Classifier
    history: dict[str, list[dict[str, float | None]]]
    plan: Plan
    decision: str
    selected: Selected
    selection: dict[str, Any] = field(default_factory=dict)
    phase: str = HEAD
    epoch: int = 0
    class_weight_effect: ClassWeightEffect | None = None


def train(context: TrainingContext) -> Trained:
    """Solve the head, and fine-tune if the rules say so.

    The fine-tuned model is used if it is no worse on the validation pictures
    (evaluation.selection).
    """
    context, flip = mirroring.resolve_flip(context)
    # Errors about the folders of both are raised now, not after an hour.
    board, checkpoint = context.board, context.checkpoint()
    resumed_plan = checkpoint.load() if context.config.resume else None
    head = head_phase.solve_head(context)
    plan = resumed_plan or make_plan(context.config, head, conditions(context))
    for reason in plan.reasons:
        log.info("%s", reason)
    network = context.network
    classifier = Classifier(
        network.backbone, network.body, network.embedder, head.model, hash_weights(network.body)
    )
    history = {HEAD: head.history}
    for step, row in enumerate(head.history, 1):
        board.add(HEAD, step, row)
    choices = {"head": head.selection_result.record(), "flip": flip.record()}
    phase, epoch, decision = HEAD, 0, f"the model is the {head}; {plan.reasons[1]}"
    selected = Selected(head.description, head.validation, _number_format("float32"))
    if plan.epochs:
        head_weights = classifier.get_weights()
        try:
            tuned = fine_tune(classifier, plan, checkpoint, context)
        except TimeBudgetSpentError:
            reason = "the time budget was spent on feature maps, which are kept for the next run"
            decision = f"the model is the {head}; no fine-tuning: {reason}"
            return Trained(classifier, history, plan, decision, selected, choices)
        history[FINE_TUNING], epoch = tuned.history, tuned.epoch
        if selection.is_no_worse(tuned.validation, head.validation):
            phase = FINE_TUNING
            decision = f"the model is the result of {tuned}, which is no worse: {_compare(head)}"
            policy = precision.choose_policy(context.config.precision)
            selected = Selected(FINE_TUNING, tuned.validation, _number_format(policy))
        else:
            classifier.assign_weights(head_weights)
            decision = f"the model is the {head}; {_reason_for_head(tuned, head, plan)}"
    effect = head_phase.measure_class_weights(context)
    return Trained(classifier, history, plan, decision, selected, choices, phase, epoch, effect)


def conditions(context: TrainingContext) -> Conditions:
    """Return what the rules for fine-tuning consider."""
    return Conditions(
        pictures=len(context.train),
        classes=len(context.dataset.classes),
        validation_pictures=len(context.dataset.rows("validation")),
        seconds_left=context.time_budget.seconds_left(),
    )


def _number_format(policy: str) -> str:
    """Return a key of `fidelity.ROUNDINGS`; TensorFloat-32 rounds products as 16 bits do."""
    is_float32 = policy == "float32" and hardware.device_kind() != "GPU TF32"
    return "float32" if is_float32 else "16 bits"


def _reason_for_head(tuned: FineTuningResult, head: Head, plan: Plan) -> str:
    if math.isfinite(tuned.validation.loss):
        return f"{tuned} is worse: {_compare(head)}"
    return (
        "fine-tuning came to a loss that is not a number: --fine-tune-learning-rate "
        f"(={plan.learning_rate:g}) is too high"
    )


def _compare(head: Head) -> str:
    """Describe the head on the pictures that fine-tuning was validated on."""
    result = head.validation
    figures = f"loss {result.loss:.4f}, accuracy {result.accuracy:.4f}"
    return f"on the same {len(result.losses)} pictures the {head.description} has {figures}"
