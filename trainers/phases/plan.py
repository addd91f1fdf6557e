"""Rules decide, once the head is solved, whether and how to fine-tune; they give their reasons."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from trainers.config import TrainingConfig
from trainers.heads.head import Head

MIN_PICTURES_PER_CLASS = 10
"""With fewer training pictures per class, on average, fine-tuning memorises them."""
MIN_MISTAKES = 0.5
"""If the head gets fewer validation pictures wrong, there is nothing to gain."""
LAYERS, MAX_EPOCHS, LEARNING_RATE = 20, 10, 3e-4
"""Defaults of fine-tuning, with a cosine down to 0."""
ENOUGH_PICTURES_SEEN, MIN_EPOCHS = 50_000, 3
"""Large folders get fewer epochs: so many that ENOUGH_PICTURES_SEEN are seen in all, but at least
as many as a cosine needs."""


@dataclass(frozen=True)
class Plan:
    """How to fine-tune, and why. With 0 epochs the head is used as it is."""

    epochs: int
    layers: int
    learning_rate: float
    reasons: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return the content of metrics.json about it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Plan:
        """Return the plan that `record` has written."""
        values = {field.name: record[field.name] for field in fields(cls)}
        return cls(**{**values, "reasons": tuple(values["reasons"])})


@dataclass(frozen=True)
class Conditions:
    """What the rules consider, besides the options and the head.

    Attributes:
        pictures: number of training pictures.
        classes: number of classes.
        validation_pictures: number of validation pictures.
        seconds_left: of the time budget; infinite if there is none.
    """

    pictures: int
    classes: int
    validation_pictures: int
    seconds_left: float


def make_plan(config: TrainingConfig, head: Head, conditions: Conditions) -> Plan:
    """Decide whether to fine-tune, and how. Options override the rules."""
    result = head.selection_result
    situation = f"{head}, trained on {conditions.pictures} pictures of {conditions.classes} classes"
    rule = min(MAX_EPOCHS, max(MIN_EPOCHS, ENOUGH_PICTURES_SEEN // conditions.pictures))
    epochs = rule if config.fine_tune_epochs is None else config.fine_tune_epochs
    reason_against = _reason_against(config, result.mistakes, epochs, conditions)
    if reason_against:
        reasons = (situation, f"no fine-tuning: {reason_against}", "the head is used as it is")
        return Plan(0, 0, 0.0, reasons)
    layers = config.fine_tune_layers or LAYERS
    learning_rate = config.fine_tune_learning_rate or LEARNING_RATE
    reasons = (
        situation,
        "fine-tuning, because the options ask for it"
        if is_requested(config)
        else f"fine-tuning, because the head gets {result.mistakes} of {len(result.losses)} "
        f"{'held-out' if result.folds else 'validation'} pictures wrong and there are enough "
        "pictures to learn more from",
        f"fine-tuning trains the last {layers} layers with a learning rate of {learning_rate:g} "
        f"for at most {epochs} epochs; if the result is worse, the head is used as it is",
    )
    return Plan(epochs, layers, learning_rate, reasons)


def is_requested(config: TrainingConfig) -> bool:
    """Whether an option asks for fine-tuning, so that the rules do not decide."""
    options = (
        config.fine_tune_epochs,
        config.fine_tune_layers,
        config.fine_tune_learning_rate,
    )
    return config.strategy == "fine-tune" or any(options)


def _reason_against(
    config: TrainingConfig, mistakes: int, epochs: int, conditions: Conditions
) -> str | None:
    do_rules_decide = not is_requested(config)
    is_few = conditions.pictures < MIN_PICTURES_PER_CLASS * conditions.classes
    reasons = {
        "the options say so": config.strategy == "features" or not epochs,
        "no picture is left for validation, so nothing could show whether it helps": (
            not conditions.validation_pictures
        ),
        "the time budget is spent": conditions.seconds_left <= 0,
        f"with fewer than {MIN_PICTURES_PER_CLASS} pictures per class it would memorise them": (
            do_rules_decide and is_few
        ),
        "the head makes no mistake on the pictures that it was tested on": (
            do_rules_decide and mistakes < MIN_MISTAKES
        ),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)
