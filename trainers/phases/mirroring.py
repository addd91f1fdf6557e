"""Whether to learn from mirrored views: arrows to the left and to the right are two classes."""

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
"""Most pictures of things may be mirrored, so it is used unless another is clearly better."""
MAX_PICTURES, MAX_CLASSES = 1000, 50
"""For the decision, so that large folders do not take longer."""


@dataclass(frozen=True)
class FlipChoice:
    """Which mirrored views to learn from, and why.

    Attributes:
        results: of each choice in cross-validation, for metrics.json.
    """

    flip: Flip
    reason: str
    results: dict[Flip, dict[str, Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"mirrored views (--flip): {self.flip}, {self.reason}"

    def record(self) -> dict[str, Any]:
        """Return the content of metrics.json about it."""
        return {"chosen": self.flip, "reason": self.reason, "cross_validation": self.results}


def resolve_flip(context: TrainingContext) -> tuple[TrainingContext, FlipChoice]:
    """Decide which mirrored views to learn from; return the context with that option set."""
    choice = _choose_flip(context)
    log.info("%s", choice)
    config = context.config.model_copy(update={"flip": choice.flip})
    return replace(context, config=config), choice


def _choose_flip(context: TrainingContext) -> FlipChoice:
    if context.config.flip != "auto":
        return FlipChoice(context.config.flip, "because the options say so")
    without_time = FlipChoice(DEFAULT_FLIP, "the default: the time budget is spent")
    if context.time_budget.is_spent():
        return without_time
    try:
        return select_flip({flip: _cross_validate(context, flip) for flip in FLIPS})
    except TimeBudgetSpentError:
        return without_time


def select_flip(results: dict[Flip, ValidationResult]) -> FlipChoice:
    """Select the lowest loss, or the default if its loss is not clearly higher."""
    records = {flip: result.record() for flip, result in results.items()}
    default = results[DEFAULT_FLIP]
    if not default.is_known:
        return FlipChoice(DEFAULT_FLIP, f"the default: {default}", records)
    best = min(results, key=lambda flip: results[flip].loss)
    flip = best if is_clearly_lower(results[best].losses, default.losses) else DEFAULT_FLIP
    losses = ", ".join(f"{name} {result.loss:.4f}" for name, result in results.items())
    accuracies = ", ".join(f"{name} {result.accuracy:.3f}" for name, result in results.items())
    reason = "the lowest" if flip == best else "not clearly higher than the lowest"
    return FlipChoice(
        flip,
        f"by cross-validation on {len(default.losses)} pictures: its loss is {reason} (loss: "
        f"{losses}; accuracy: {accuracies})",
        records,
    )


def _cross_validate(context: TrainingContext, flip: Flip) -> ValidationResult:
    """Return the result of the linear head with its best penalty, on views without a zoom.

    Raises:
        TimeBudgetSpentError: the time budget was spent before the head was solved.
    """
    pool = head_phase.build_pool(
        context, UNZOOMED_VIEWS[flip], MAX_PICTURES, MAX_CLASSES, context.time_budget
    )
    results = linear.cross_validate(pool, context.time_budget)
    if context.time_budget.is_spent():  # solvers that were stopped cannot be compared
        raise TimeBudgetSpentError("the time budget is spent")
    return min(results, key=lambda result: result.loss) if results[0].is_known else results[0]
