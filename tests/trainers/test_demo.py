from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_trains_serves_and_shows_an_answer(tmp_path: Path) -> None:
    """The real one, as `make demo` runs it, in a folder of its own."""
    command = [sys.executable, "-m", "trainers.demo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"label": "' in done.stdout
    assert "python -m trainers.run --plugin efficientnet --data YOUR_FOLDER" in done.stdout
    (report,) = (tmp_path / "artifacts").glob("demo-*/report.html")
    found = re.search(r"leaves: ([\d.]+) with .*\n([\d.]+) from random weights", done.stdout)
    assert found
    accuracy, random_accuracy = map(float, found.groups())
    metrics = json.loads(report.with_name("metrics.json").read_text())
    assert metrics["test"]["accuracy"] == pytest.approx(accuracy, abs=5e-4)
    assert accuracy >= 0.95
    assert accuracy > random_accuracy + 0.05  # what pretraining is worth
