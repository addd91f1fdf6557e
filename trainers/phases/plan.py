"""Decides whether and how to fine-tune after the head is trained, and explains the decision."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from trainers.config import TrainingConfig
from trainers.heads.head import Head

MIN_PICTURES_PER_CLASS = 60
"""With fewer training pictures per class on average, fine-tuned networks were less accurate than
heads on average (docs/decisions/training.md), because they memorise the pictures."""
LAYERS, MAX_EPOCHS, LEARNING_RATE = 20, 10, 3e-4
"""Defaults of fine-tuning: number of layers, largest number of epochs, initial learning rate."""
ENOUGH_PICTURES_SEEN, MIN_EPOCHS = 50_000, 3
"""Large datasets get fewer epochs than MAX_EPOCHS. The number is chosen so that the network sees
about ENOUGH_PICTURES_SEEN pictures in total, counting each picture once per epoch. But it is at
least MIN_EPOCHS."""


@dataclass(frozen=True)
class Plan:
    """How to fine-tune, and why.

    Attributes:
        epochs: largest number of epochs; 0 if there is no fine-tuning.
        layers: how many layers at the end of the backbone are trained; 0 if there is no
            fine-tuning.
        learning_rate: the learning rate at the start. It falls to 0 along a cosine.
        reasons: three sentences for the log and the report: how the head was trained, whether
            fine-tuning follows and why, and which layers fine-tuning trains.
    """

    epochs: int
    layers: int
    learning_rate: float
    reasons: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return the plan as it is written to metrics.json and checkpoints."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Plan:
        """Rebuild a plan from the result of `record`."""
        values = {field.name: record[field.name] for field in fields(cls)}
        return cls(**{**values, "reasons": tuple(values["reasons"])})


@dataclass(frozen=True)
class Conditions:
    """The facts that the rules consider, in addition to the options and the head.

    Attributes:
        pictures: number of training pictures.
        classes: number of classes.
        pictures_per_class: number of training pictures of each class, or with each label, on
            average.
        validation_pictures: number of validation pictures.
        seconds_left: the remaining time. It is infinite without a time budget, and 0 or negative if
            the time budget is spent.
    """

    pictures: int
    classes: int
    pictures_per_class: float
    validation_pictures: int
    seconds_left: float


def make_plan(config: TrainingConfig, head: Head, conditions: Conditions) -> Plan:
    """Decide whether to fine-tune, and how. Options override some of the rules."""
    result = head.selection_result
    situation = (
        f"the linear head was trained on {conditions.pictures} pictures of {conditions.classes} "
        f"classes ({head.figures}){f'; {head.reason}' * bool(head.reason)}"
    )
    rule = min(MAX_EPOCHS, max(MIN_EPOCHS, ENOUGH_PICTURES_SEEN // conditions.pictures))
    epochs = rule if config.fine_tune_epochs is None else config.fine_tune_epochs
    reason_against = _reason_against(config, result.mistakes, epochs, conditions)
    if reason_against:
        reasons = (
            situation,
            f"fine-tuning was skipped, because {reason_against}",
            "the weights of the backbone are not changed",
        )
        return Plan(0, 0, 0.0, reasons)
    layers = config.fine_tune_layers or LAYERS
    learning_rate = config.fine_tune_learning_rate or LEARNING_RATE
    reasons = (
        situation,
        "fine-tuning follows, because the options ask for it"
        if is_requested(config)
        else f"fine-tuning follows, because the head gets {result.mistakes} of "
        f"{len(result.losses)} {'held-out' if result.folds else 'validation'} pictures wrong, and "
        "there are enough training pictures for fine-tuning",
        f"fine-tuning trains up to {layers} layer{'' if layers == 1 else 's'} at the end of the "
        f"backbone for at most {epochs} epoch{'' if epochs == 1 else 's'} with a learning rate of "
        f"{learning_rate:g}; if the result is worse than that of the head on the unchanged "
        "backbone, it is discarded",
    )
    return Plan(epochs, layers, learning_rate, reasons)


def is_requested(config: TrainingConfig) -> bool:
    """Whether an option asks for fine-tuning.

    Fine-tuning then follows even if there are few pictures, or if the head makes no mistake.
    """
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
    is_few = conditions.pictures_per_class < MIN_PICTURES_PER_CLASS
    reasons = {
        "--strategy features or --fine-tune-epochs 0 was set": (
            config.strategy == "features" or not epochs
        ),
        "no picture is left for validation, so it would be unknown whether fine-tuning helps": (
            not conditions.validation_pictures
        ),
        "the time budget was spent": conditions.seconds_left <= 0,
        f"the network would memorise the pictures: there are fewer than {MIN_PICTURES_PER_CLASS} "
        "training pictures per class on average": (do_rules_decide and is_few),
        "the head makes no mistake on the pictures that it was validated on": (
            do_rules_decide and not mistakes
        ),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)
