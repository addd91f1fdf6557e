from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.accuracy import results


def figures(accuracy: float) -> dict[str, float]:
    return {
        "accuracy": accuracy,
        "log loss": 0.5,
        "calibration error": 0.02,
        "seconds": 90.0,
        "CPU seconds": 150.0,
    }


def test_differences_are_those_of_the_same_pictures() -> None:
    graft = {"0": figures(0.9), "1": figures(0.8), "2": figures(0.1)}
    fastai = {"0": figures(0.85), "1": figures(0.75), "3": figures(0.8)}
    cells = results.summarise(fastai, graft)
    assert cells == ["3", "0.800 +-0.057", "0.050 +-0.000", "0.500", "0.020", "1.50", "2.50"]


def test_the_table_has_all_results_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.jsonl"
    assert results.read(path) == {}
    for key in (("all", "timm", "0"), ("10", "timm", "0"), ("10", "graft", "1"), ("9", "timm", "")):
        results.append(path, key, figures(0.5))
    assert results.read(path)["10", "graft", "1"] == figures(0.5)
    lines = results.table(results.read(path))
    assert [line.split(" | ")[:5] for line in lines[2:]] == [
        ["| 9", "timm", "1", "0.500", "-"],
        ["| 10", "graft", "1", "0.500", "0.000"],
        ["| 10", "timm", "1", "0.500", "-"],
        ["| all", "timm", "1", "0.500", "-"],
    ]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    results.append(path, ("10", "graft", "0"), figures(0.5))
    path.write_text(path.read_text() + '{"size": "10", "to')
    with pytest.raises(SystemExit, match=r"line 2 is not a result"):
        results.read(path)
