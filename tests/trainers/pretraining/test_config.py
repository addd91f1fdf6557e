"""Invalid numbers are refused; a folder belongs to one configuration and one code version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.errors import GraftError
from trainers.pretraining import config
from trainers.pretraining.config import PretrainingConfig


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"classes": 1}, "--classes must be at least 2"),
        ({"held_out": 0}, "--held-out must be at least 1"),
        ({"held_out": 100}, "leave too few pictures"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"classes": 2, "batch_size": 800}, "two batches of 800"),
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"seed": -1}, "--seed must be at least 0"),
        ({"learning_rate": float("nan")}, "must be finite numbers above 0"),
    ],
)
def test_invalid_numbers_are_refused(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(GraftError, match=message):
        PretrainingConfig(**numbers)


def test_a_run_of_other_code_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.claim_folder(PretrainingConfig(), tmp_path)
    config.claim_folder(PretrainingConfig(), tmp_path)
    monkeypatch.setattr(config, "code_hash", lambda: "other")
    with pytest.raises(GraftError, match="another version of the code"):
        config.claim_folder(PretrainingConfig(), tmp_path)
