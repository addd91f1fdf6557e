"""A short run of the long one: `make fuzz`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("pictures.py")


def test_damaged_pictures_end_in_pixels_or_in_a_refusal() -> None:
    command = [sys.executable, str(SCRIPT), "2000", "0"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    outcomes = json.loads(run.stdout.splitlines()[-1])
    assert sum(outcomes.values()) == 2000
    assert outcomes["pixels"] > 400, "hardly a picture is still read: the mutations went too far"
    assert outcomes["undecodable_image"] > 400
