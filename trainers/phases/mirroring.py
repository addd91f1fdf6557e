"""Whether to learn from mirrored views: arrows to the left and to the right are two classes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from trainers.evaluation.selection import ValidationResult, is_clearly_lower
from trainers.features.views import FLIPS, UNZOOMED, Flip
from trainers.heads import linear
from trainers.phases import head_phase
from trainers.phases.context import Run
from trainers.progress import log
from trainers.resources.time_budget import TimeIsUpError

USUAL: Flip = "horizontal"
"""What most pictures of things bear: taken unless another is clearly better."""
MOST_PICTURES, MOST_CLASSES = 1000, 50
"""That decide, so that large folders do not take longer."""


@dataclass(frozen=True)
class Choice:
    """Which views to learn from, why, and how each kind did in cross-validation."""

    flip: Flip
    reason: str
    tried: dict[Flip, dict[str, Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"mirrored views (--flip): {self.flip}, {self.reason}"

    def record(self) -> dict[str, Any]:
        """For metrics.json."""
        return {"chosen": self.flip, "reason": self.reason, "cross_validation": self.tried}


def settle(run: Run) -> tuple[Run, Choice]:
    """The same run with `--flip` decided, and why."""
    choice = _choose(run)
    log.info("%s", choice)
    return replace(run, config=run.config.model_copy(update={"flip": choice.flip})), choice


def _choose(run: Run) -> Choice:
    if run.config.flip != "auto":
        return Choice(run.config.flip, "because the options say so")
    late = Choice(USUAL, "the default: the time budget is spent")
    if run.clock.is_over():
        return late
    try:
        return choose({flip: _judge(run, flip) for flip in FLIPS})
    except TimeIsUpError:
        return late


def choose(judged: dict[Flip, ValidationResult]) -> Choice:
    """The kind with the lowest loss, if it is clearly lower than the usual one's: by more than a
    standard error, on the same pictures."""
    tried = {flip: one.record() for flip, one in judged.items()}
    usual = judged[USUAL]
    if not usual.is_known:
        return Choice(USUAL, f"the default: {usual}", tried)
    best = min(judged, key=lambda flip: judged[flip].loss)
    flip = best if is_clearly_lower(judged[best].losses, usual.losses) else USUAL
    figures = ", ".join(f"{one} {judged[one].loss:.4f}" for one in judged)
    accuracies = ", ".join(f"{one} {judged[one].accuracy:.3f}" for one in judged)
    reason = "the lowest" if flip == best else "not clearly higher than the lowest"
    return Choice(
        flip,
        f"by cross-validation on {len(usual.losses)} pictures: its loss is {reason} (loss: "
        f"{figures}; accuracy: {accuracies})",
        tried,
    )


def _judge(run: Run, flip: Flip) -> ValidationResult:
    """Of the linear head at its best penalty, on views that are not zoomed.

    Raises:
        TimeIsUpError: it was not solved in time.
    """
    pool = head_phase.pool(run, UNZOOMED[flip], MOST_PICTURES, MOST_CLASSES, run.clock)
    losses, hits = linear.cross_validate(pool, run.clock)
    if run.clock.is_over():  # solvers that were cut short tell nothing
        raise TimeIsUpError("the time budget is spent")
    best = losses.mean(axis=1).argmin() if losses.size else 0
    return ValidationResult.from_answers(losses[best], hits[best], len(pool.parts))
