"""Rules in place of knobs: what to do after the head is solved, and why, in three lines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from trainers.config import TrainingConfig
from trainers.heads.head import Head

FEW_PER_CLASS = 10
"""Training pictures of a class, on average, below which fine-tuning learns them by heart."""
NOTHING_TO_GAIN = 0.5
"""Wrong validation pictures, of the head, below which it is done."""
LAYERS, EPOCHS, LEARNING_RATE = 20, 10, 3e-4
"""With a cosine down to 0, mean test accuracy of 3 splits with MobileNetV2 0.35 at 224 px, head
alone and fine-tuned: flowers 0.872 and 0.881, EuroSAT 0.882 and 0.902. A steady 1e-4, halved on
plateaus, gave 0.874 and 0.892; 1e-3 destroys what the backbone knows (0.53, 0.59)."""


SEEN, LEAST_EPOCHS = 50_000, 3
"""Pictures seen in all that are enough, and epochs that a cosine needs: large folders get fewer."""


@dataclass(frozen=True)
class Plan:
    """What fine-tuning does. No epochs mean none: the solved head ships."""

    epochs: int
    layers: int
    learning_rate: float
    reasons: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, record: dict[str, Any]) -> Plan:
        values = {one.name: record[one.name] for one in fields(cls)}
        return cls(**{**values, "reasons": tuple(values["reasons"])})


@dataclass(frozen=True)
class Situation:
    """What the rules look at, besides the head.

    Attributes:
        pictures: to learn from.
        classes: number of classes.
        validation_pictures: that fine-tuning can be judged on.
        seconds_left: of the time budget; infinite without one.
    """

    pictures: int
    classes: int
    validation_pictures: int
    seconds_left: float


def choose(config: TrainingConfig, head: Head, found: Situation) -> Plan:
    """Decide between shipping the head and fine-tuning, and how; flags override any part."""
    told = f"{head}, trained on {found.pictures} pictures of {found.classes} classes"
    judged = head.judgement
    wrong = judged.mistakes
    usual = min(EPOCHS, max(LEAST_EPOCHS, SEEN // found.pictures))
    epochs = usual if config.fine_tune_epochs is None else config.fine_tune_epochs
    why_not = _why_not(config, wrong, epochs, found)
    if why_not:
        return Plan(0, 0, 0.0, (told, f"no fine-tuning: {why_not}", "the head is used as it is"))
    layers = config.fine_tune_layers or LAYERS
    rate = config.fine_tune_learning_rate or LEARNING_RATE
    reasons = (
        told,
        "fine-tuning, because the options ask for it"
        if is_asked_for(config)
        else f"fine-tuning, because the head gets {wrong} of {len(judged.losses)} "
        f"{'held-out' if judged.folds else 'validation'} pictures wrong and there are enough "
        "pictures to learn more from",
        f"fine-tuning trains the last {layers} layers with a learning rate of {rate:g} for at most "
        f"{epochs} epochs; if the result is worse, the head is used as it is",
    )
    return Plan(epochs, layers, rate, reasons)


def is_asked_for(config: TrainingConfig) -> bool:
    """Whether an option speaks of fine-tuning: then it is not for rules to decide."""
    named = (
        config.fine_tune_epochs,
        config.fine_tune_layers,
        config.fine_tune_learning_rate,
    )
    return config.strategy == "fine-tune" or any(named)


def _why_not(config: TrainingConfig, wrong: float, epochs: int, found: Situation) -> str | None:
    is_for_rules = not is_asked_for(config)
    is_few = found.pictures < FEW_PER_CLASS * found.classes
    reasons = {
        "the options say so": config.strategy == "features" or not epochs,
        "no picture is left for validation, so nothing could show whether it helps": (
            not found.validation_pictures
        ),
        "the time budget is spent": found.seconds_left <= 0,
        f"with fewer than {FEW_PER_CLASS} pictures per class it would memorise them": (
            is_for_rules and is_few
        ),
        "the head makes no mistake on the pictures that it was tested on": (
            is_for_rules and wrong < NOTHING_TO_GAIN
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)
