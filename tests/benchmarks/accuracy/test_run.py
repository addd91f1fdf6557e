from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.accuracy import pictures, results, run
from tests.conftest import DrawFolder

FAKE = """
import json, subprocess, sys, time

busy = "import time\\nwhile time.process_time() < 0.2: pass"
subprocess.run([sys.executable, "-c", busy], check=True)
answers = {"probabilities": [[0.8, 0.2], [0.6, 0.4]], "labels": [0, 1]}
print("a line that is not the result")
print(json.dumps({**answers, "test_seconds": 0.1, "test_cpu_seconds": 0.1}))
"""


@pytest.fixture
def bench(draw_folder: DrawFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command line, with tools that answer at once; returns the folder of the tools."""
    tools = {"graft": sys.executable, "fastai": sys.executable, "timm": str(tmp_path / "missing")}
    folder = draw_folder(tmp_path / "drawn", red=3, blue=3)
    monkeypatch.setattr(pictures, "TEST_PICTURES", 1)
    monkeypatch.setattr(run, "TOOLS", tools)
    monkeypatch.setattr(run, "PEERS", tmp_path)
    monkeypatch.setattr(run, "ARTIFACTS", tmp_path)
    monkeypatch.setattr(run, "count_lines", lambda path: 1)
    monkeypatch.setattr(sys, "argv", ["run", "a:b", "none", str(folder), "0", "1"])
    for name in tools:
        (tmp_path / f"{name}_tool.py").write_text(FAKE)
    return tmp_path


def test_the_other_tools_go_on_and_missing_results_are_measured_later(
    bench: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench / "graft_tool.py").write_text("raise ValueError('broken tool')")
    assert run.main() == 1
    written = capfd.readouterr()
    assert "ValueError: broken tool" in written.err
    assert "graft, 1 pictures per class, seed 0 failed" in written.err
    assert "timm, 1 pictures per class, seed 0 failed" in written.err
    assert "| 1 | fastai | 1 | 0.500 | - |" in written.out

    path = bench / "bench-accuracy" / "a-b-drawn.jsonl"
    before = path.read_text()
    monkeypatch.setitem(run.TOOLS, "timm", sys.executable)
    (bench / "graft_tool.py").write_text(FAKE)
    (bench / "fastai_tool.py").write_text("raise ValueError('measured again')")
    assert run.main() == 0
    assert "| 1 | fastai | 1 | 0.500 | 0.000 |" in capfd.readouterr().out
    assert path.read_text().startswith(before)
    assert {key: value["accuracy"] for key, value in results.read(path).items()} == {
        ("1", name, "0"): 0.5 for name in run.TOOLS
    }


def test_cpu_seconds_are_those_of_the_tool_and_its_children(bench: Path) -> None:
    figures = run.measure("graft", ("a:b", "none", str(bench), "0"))
    assert 0.1 <= figures["CPU seconds"] < 10


@pytest.mark.parametrize("name", run.TOOLS)
def test_the_lines_of_every_tool_are_counted(name: str) -> None:
    assert 1 <= run.count_lines(run.PEERS / f"{name}_tool.py") < 60
