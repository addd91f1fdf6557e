from __future__ import annotations

import pytest

from benchmarks.accuracy.run import HERE, TOOLS, count_lines, summarise


def figures(accuracy: float) -> dict[str, float]:
    return {"accuracy": accuracy, "log loss": 0.5, "calibration error": 0.02, "seconds": 90.0}


def test_differences_are_those_of_the_same_pictures() -> None:
    rows = {
        "graft": [figures(0.9), figures(0.8)],
        "fastai": [figures(0.85), figures(0.75)],
    }
    cells = summarise(rows, "fastai")
    assert cells == ["0.800 +-0.098", "0.050 +-0.000", "0.500", "0.020", "1.50"]


@pytest.mark.parametrize("name", TOOLS)
def test_the_lines_of_every_tool_are_counted(name: str) -> None:
    assert 1 <= count_lines(HERE / "peers" / f"{name}_tool.py") < 60
