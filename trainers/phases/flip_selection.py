"""Chooses the mirrored views that a model is trained on.

Mirroring helps with most pictures, but it would confuse classes such as left and right arrows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from trainers.evaluation.selection import ValidationResult, is_clearly_lower
from trainers.features.augmentation import FLIPS, UNZOOMED_VIEWS, Flip
from trainers.heads import linear
from trainers.phases import head_phase
from trainers.phases.context import TrainingContext
from trainers.progress import log
from trainers.resources.time_budget import TimeBudgetSpentError

DEFAULT_FLIP: Flip = "horizontal"
"""The value of --flip that is used unless another value is clearly better. Mirroring from left to
right suits most pictures of objects."""
MAX_PICTURES, MAX_CLASSES = 1000, 50
"""The sample for cross-validation has at most this number of pictures, and of classes. This limits
the time that the choice takes for large datasets."""


@dataclass(frozen=True)
class FlipChoice:
    """The value of --flip that was chosen, and why.

    Attributes:
        flip: the value of --flip that was chosen.
        reason: why it was chosen, as the end of a sentence in the log and the report.
        results: the cross-validation result of each value of --flip, for metrics.json; empty if
            nothing was cross-validated.
    """

    flip: Flip
    reason: str
    results: dict[Flip, dict[str, Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"mirrored views (--flip): {self.flip}, {self.reason}"

    def record(self) -> dict[str, Any]:
        """Return the choice as it is written to metrics.json."""
        return {"chosen": self.flip, "reason": self.reason, "cross_validation": self.results}


def resolve_flip(context: TrainingContext) -> tuple[TrainingContext, FlipChoice]:
    """Choose a value of --flip; return the context with this value, and the choice."""
    choice = _choose_flip(context)
    log.info("%s", choice)
    config = context.config.model_copy(update={"flip": choice.flip})
    return replace(context, config=config), choice


def _choose_flip(context: TrainingContext) -> FlipChoice:
    if context.config.flip != "auto":
        return FlipChoice(context.config.flip, "because --flip was set")
    without_time = FlipChoice(DEFAULT_FLIP, "the default, because the time budget was spent")
    if context.time_budget.is_spent():
        return without_time
    try:
        return select_flip({flip: _cross_validate(context, flip) for flip in FLIPS})
    except TimeBudgetSpentError:
        return without_time


def select_flip(results: dict[Flip, ValidationResult]) -> FlipChoice:
    """Choose the value of --flip with the lowest loss, or DEFAULT_FLIP.

    DEFAULT_FLIP is chosen unless the loss of another value is clearly lower. It is also chosen if
    no picture could be held out.
    """
    records = {flip: result.record() for flip, result in results.items()}
    default = results[DEFAULT_FLIP]
    if not default.is_known:
        return FlipChoice(DEFAULT_FLIP, f"the default ({default})", records)
    best = min(results, key=lambda flip: results[flip].loss)
    flip = best if is_clearly_lower(results[best].losses, default.losses) else DEFAULT_FLIP
    losses = ", ".join(f"{name} {result.loss:.4f}" for name, result in results.items())
    accuracies = ", ".join(f"{name} {result.accuracy:.3f}" for name, result in results.items())
    reason = (
        "because it has the lowest loss"
        if flip == best
        else "the default, because no other choice is clearly better"
    )
    where = f"in cross-validation on {len(default.losses)} pictures"
    return FlipChoice(flip, f"{reason} {where} (loss: {losses}; accuracy: {accuracies})", records)


def _cross_validate(context: TrainingContext, flip: Flip) -> ValidationResult:
    """Cross-validate linear heads on the views of a value of --flip, but without zoomed views.

    Returns:
        The result of the best value of C.

    Raises:
        TimeBudgetSpentError: the time budget was spent before all heads were trained.
    """
    pool = head_phase.build_pool(
        context, UNZOOMED_VIEWS[flip], MAX_PICTURES, MAX_CLASSES, context.time_budget
    )
    results = linear.cross_validate(pool, context.time_budget)
    if context.time_budget.is_spent():  # solvers stopped early, so results cannot be compared
        raise TimeBudgetSpentError("the time budget is spent")
    return min(results, key=lambda result: result.loss) if results[0].is_known else results[0]
