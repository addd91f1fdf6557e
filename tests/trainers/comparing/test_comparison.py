from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainers.comparing import comparison
from trainers.comparing.candidates import Candidate, Figures, Row, choose
from trainers.comparing.comparison import Comparison
from trainers.config import TrainingConfig
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings.finding import Finding
from trainers.dataset.inspection import INSPECTION

FIGURES: dict[str, Any] = {
    "image_size": 32,
    "validation_pictures": 100,
    "test_accuracy": 0.875,
    "test_interval": (0.8, 0.93),
    "test_pictures": 80,
    "model_bytes": 4_100_000,
    "parameters": 1_036_850,
    "width": 12,
    "seconds": 2.5,
    "head": "linear head",
}


def compared(classes: tuple[str, ...] = ("cat", "dog"), folder: str = "pets") -> Comparison:
    slow = Figures(**FIGURES, validation_accuracy=0.9, inference_ms=20.0, were_kept=False)
    fast = Figures(**FIGURES, validation_accuracy=0.89, inference_ms=2.0, were_kept=True)
    rows = [
        Row(Candidate("resnet:50", "imagenet", "resnet:50"), slow),
        Row(Candidate("vgg:16", "imagenet", "vgg:16"), problem="no weights <here>\n  Fetch them"),
        Row(Candidate("pocket:1", "embedded", "pocket:1"), fast),
    ]
    dataset = Dataset(
        folder=Path(folder),
        classes=classes,
        paths=("a", "b", "c", "d"),
        labels=np.array([0, 0, 1, 1]),
        splits=("train", "test", "validation", "train"),
        digests=("",) * 4,
        inspections=np.zeros(4, INSPECTION),
        duplicate_groups=np.arange(4),
        fingerprint="f" * 64,
        left_out=(),
    )
    found = (Finding("tiny_class", "warning", f"1 class small: `{classes[0]}`", ()),)
    config = TrainingConfig(plugin="tiny", data=folder)
    choice = choose(rows)
    return Comparison(rows, choice, choice.candidate.command(config), dataset, found, config)


def test_the_table_is_aligned_and_says_what_to_take() -> None:
    lines = comparison.table(compared()).splitlines()
    assert lines[0].split() == [
        *("backbone", "px", "validation", "test", "(95%", "interval)", "ms", "MB"),
        *("parameters", "width", "seconds"),
    ]
    assert lines[1].startswith(">  pocket:1 ")
    assert lines[2].startswith("   resnet:50 ")
    assert {line[: lines[0].index("px") + 2][-2:] for line in lines[1:3]} == {"32"}
    assert "87.5% (80.0 to 93.0)" in lines[1]
    assert lines[1].endswith("2.5*")
    assert lines[3] == "   vgg:16: left out: no weights <here>"
    assert "kept from before" in lines[4]
    assert lines[-2].startswith("Take pocket:1: of 2 within one standard error")
    assert lines[-1] == f"  {sys.executable} -m trainers.run --plugin pocket:1 --data pets"


def test_the_record_has_every_figure_and_every_problem(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    page = comparison.write(compared(), tmp_path / "work", tmp_path / "compare-1.html")
    content = json.loads((tmp_path / "compare-1.json").read_text())
    assert page.is_file()
    assert not list((tmp_path / "work").iterdir())
    assert (content["plugin"], content["weights"]) == ("pocket:1", "embedded")
    resnet, vgg, pocket = content["candidates"]
    assert resnet["validation_accuracy"] == 0.9
    assert pocket["inference_ms"] == 2.0
    assert vgg["problem"] == "no weights <here>\n  Fetch them"
    assert (resnet["is_near_the_best"], vgg["is_near_the_best"]) == (True, False)
    assert content["data"]["pictures"] == {"train": 2, "validation": 1, "test": 1}


def test_a_page_that_cannot_be_drawn_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(comparison, "RULE", None)
    monkeypatch.setattr(comparison, "render", lambda done: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        comparison.write(compared(), tmp_path / "work", tmp_path / "compare-1.html")
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_the_page_shows_plot_figures_choice_and_reasons() -> None:
    page = comparison.render(compared())
    assert '<p class="figure">pocket:1</p>' in page
    assert "python -m trainers.run --plugin pocket:1 --data pets" in page
    assert page.count("<svg") == 2
    assert "1,036,850" in page
    assert "no weights &lt;here&gt;" in page
    assert "Breiman et al. 1984" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page


def test_names_from_folders_cannot_become_markup() -> None:
    hostile = "<script>alert(1)</script>"
    page = comparison.render(compared((hostile, "{{ 7 * 7 }}"), f"<img src=x>{hostile}"))
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
