"""A short version of `make fuzz`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("pictures.py")


def run(source: str, count: int) -> dict[str, int]:
    command = [sys.executable, str(SCRIPT), source, str(count), "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    assert sum(outcomes.values()) == count
    return outcomes


@pytest.mark.slow
def test_damaged_pictures_give_pixels_or_a_refusal() -> None:
    outcomes = run("mutated", 2000)
    assert outcomes["pixels"] > 300, (
        "too few pictures are still read: the mutations damage too much"
    )
    assert outcomes["undecodable_image"] > 400


@pytest.mark.slow
def test_sound_pictures_of_every_kind_give_their_pixels_or_are_refused_by_name() -> None:
    outcomes = run("drawn", 2000)
    assert outcomes["pixels"] > 1000
    assert outcomes["unsupported_media_type"] > 300
