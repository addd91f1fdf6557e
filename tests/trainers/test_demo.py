from __future__ import annotations

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
    assert len(list((tmp_path / "artifacts").glob("classifier-*/report.html"))) == 1
