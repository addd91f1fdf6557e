from __future__ import annotations

import math

import numpy as np
import pytest

from trainers.config import TrainingConfig
from trainers.evaluation.selection import ValidationResult
from trainers.heads.head import Head
from trainers.phases.plan import Conditions, Plan, make_plan


def conditions(
    pictures: int, pictures_per_class: float = 140, seconds_left: float = math.inf
) -> Conditions:
    return Conditions(pictures, 5, pictures_per_class, 150, seconds_left)


MANY = conditions(700)


def head(accuracy: float = 0.9) -> Head:
    hits = np.arange(150) < round(150 * accuracy)
    return Head(None, ValidationResult(np.full(150, 0.3), hits), 0.01, 4)


def plan(conditions: Conditions = MANY, accuracy: float = 0.9, **options: object) -> Plan:
    return make_plan(TrainingConfig(plugin="tiny", **options), head(accuracy), conditions)


def test_reasons_are_three_lines() -> None:
    for chosen in (plan(), plan(accuracy=1.0), plan(strategy="features")):
        assert len(chosen.reasons) == 3
        assert all("\n" not in line for line in chosen.reasons)


def test_fine_tuning_follows_with_enough_pictures_and_mistakes() -> None:
    assert plan(conditions(300, 60)).epochs > 0
    chosen = plan()
    assert chosen.epochs > 0
    assert "the head gets 15 of 150 validation pictures wrong" in chosen.reasons[1]


@pytest.mark.parametrize(
    ("given", "accuracy", "reason"),
    [
        (conditions(299, 59.8), 0.8, "fewer than 60 training pictures per class"),
        (MANY, 1.0, "no mistake"),
        (conditions(700, seconds_left=-1.0), 0.9, "time budget was spent"),
    ],
)
def test_the_head_is_used_if_fine_tuning_cannot_gain(
    given: Conditions, accuracy: float, reason: str
) -> None:
    chosen = plan(given, accuracy)
    assert chosen.epochs == 0
    assert reason in chosen.reasons[1]
    is_late = given.seconds_left < 0
    for option in ({"strategy": "fine-tune"}, {"fine_tune_layers": 2}, {"fine_tune_epochs": 3}):
        assert (plan(given, accuracy, **option).epochs == 0) == is_late


@pytest.mark.parametrize("options", [{"strategy": "features"}, {"fine_tune_epochs": 0}])
def test_fine_tuning_can_be_switched_off(options: dict[str, object]) -> None:
    assert plan(**options).epochs == 0


def test_flags_override_any_part() -> None:
    chosen = plan(fine_tune_epochs=3, fine_tune_layers=7, fine_tune_learning_rate=0.5)
    assert (chosen.epochs, chosen.layers, chosen.learning_rate) == (3, 7, 0.5)


def test_a_plan_can_be_restored_from_its_record() -> None:
    chosen = plan()
    assert Plan.from_record(chosen.record()) == chosen


@pytest.mark.parametrize(
    "options",
    [{"fine_tune_epochs": 3}, {"fine_tune_layers": 2}, {"fine_tune_learning_rate": 1e-4}],
)
def test_an_option_of_fine_tuning_requests_it(options: dict[str, object]) -> None:
    chosen = plan(accuracy=1.0, **options)
    assert chosen.epochs > 0
    assert chosen.reasons[1] == "fine-tuning follows, because the options ask for it"


def test_many_pictures_need_fewer_epochs() -> None:
    counts = (700, 5_000, 10_000, 100_000)
    epochs = [plan(conditions(count)).epochs for count in counts]
    assert epochs == [10, 10, 5, 3]
