from __future__ import annotations

import pytest

from benchmarks import training


def test_ratios_of_whole_processes_are_printed_first(capsys: pytest.CaptureFixture[str]) -> None:
    tutorial = {"models": [(50.0, 0.8), (90.0, 0.7)], "imports": 5.0}
    graft = {"models": [(10.0, 0.9)], "seconds": 20.0, "accuracy": 0.9, "imports": 5.0}
    default, features = training.WHOLE_RUNS
    whole = {training.WHOLE_TUTORIAL: 100.0, default: 40.0, features: 25.0}
    training.summarise("flowers", [whole | training.compare("0", tutorial, graft, graft)])
    lines = capsys.readouterr().out.partition("flowers, means")[2].splitlines()
    assert lines[1:3] == [
        "tutorial's whole process / Graft's whole process: 2.5",
        "tutorial's whole process / Graft's whole process, --strategy features: 4.0",
    ]
