"""Numbers that make no sense are refused; a folder belongs to one plan and one code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.errors import GraftError
from trainers.pretraining import plan
from trainers.pretraining.plan import Plan


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"classes": 1}, "--classes must be at least 2"),
        ({"held_out": 0}, "--held-out must be at least 1"),
        ({"held_out": 100}, "leave too few pictures"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"classes": 2, "batch_size": 800}, "two batches of 800"),
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"seed": -1}, "--seed must be at least 0"),
        ({"learning_rate": float("nan")}, "--learning-rate must be above 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(GraftError, match=message):
        Plan(**wrong)


def test_a_run_of_other_code_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan.open_folder(Plan(), tmp_path)
    plan.open_folder(Plan(), tmp_path)
    monkeypatch.setattr(plan, "code_hash", lambda: "other")
    with pytest.raises(GraftError, match="of other code"):
        plan.open_folder(Plan(), tmp_path)
