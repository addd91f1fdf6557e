"""A short version of `make fuzz`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("pictures.py")


def fuzz(source: str, count: int) -> dict[str, int]:
    command = [sys.executable, str(SCRIPT), source, str(count), "0"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    outcomes: dict[str, int] = json.loads(completed.stdout.splitlines()[-1])
    assert sum(outcomes.values()) == count
    return outcomes


@pytest.mark.slow
def test_damaged_pictures_give_pixels_or_a_refusal() -> None:
    outcomes = fuzz("mutated", 2000)
    assert outcomes["pixels"] > 300, (
        "too few pictures are still read: the mutations damage too much"
    )
    assert outcomes["undecodable_image"] > 400


@pytest.mark.long
def test_valid_pictures_give_their_pixels_or_a_refusal_of_their_kind() -> None:
    outcomes = fuzz("drawn", 2000)
    assert outcomes["pixels"] > 1000
    assert outcomes["unsupported_media_type"] > 300
