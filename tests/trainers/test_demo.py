from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trainers import demo

ROOT = Path(__file__).parents[2]


def test_help_is_printed_without_running_the_demo() -> None:
    """`--help` works even if TensorFlow and BentoML cannot be imported."""
    code = """
import sys
for name in ("tensorflow", "keras", "onnxruntime", "bentoml"):
    sys.modules[name] = None
from trainers.demo import main
main(["--help"])
"""
    command = [sys.executable, "-c", code]
    completed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert completed.stdout.startswith("usage: python -m trainers.demo [-h]")
    assert "$ python -m trainers.run" not in completed.stdout


@pytest.mark.long
def test_the_demo_trains_serves_and_shows_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exit_code = demo.main([])
    printed, errors = capfd.readouterr()
    assert exit_code == 0, errors
    assert '"label": "' in printed
    assert "python -m trainers.run --plugin efficientnet --data YOUR_FOLDER" in printed
    (report,) = (tmp_path / "artifacts").glob("demo-*/report.html")
    accuracies = re.search(
        r"leaves: ([\d.]+) with .*\nbackbone, ([\d.]+) with random weights", printed
    )
    assert accuracies
    accuracy, random_accuracy = map(float, accuracies.groups())
    metrics = json.loads(report.with_name("metrics.json").read_text())
    assert metrics["test"]["accuracy"] == pytest.approx(accuracy, abs=5e-4)
    assert accuracy >= 0.95
    assert accuracy > random_accuracy + 0.05  # the gain from pretraining
