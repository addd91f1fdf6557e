from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.bundle import InputSpec, Manifest
from trainers import report
from trainers.evaluation import summarise


def page(tmp_path: Path, matrix: list[list[int]], classes: tuple[str, ...]) -> str:
    manifest = Manifest(
        name="leaves",
        created="2026-01-02T03:04:05Z",
        plugin="tiny:s",
        classes=classes,
        input=InputSpec(size=32),
        outputs=(),
        opset=17,
        decoder="",
        metrics={},
        parity={},
        provenance={},
    )
    metrics = {
        "test": summarise(np.array(matrix), classes),
        "parity": {"tolerance": 1e-4, "max_difference": {"onnx": 2e-7}},
        "phases": {"head": [{"loss": 1.0, "val_loss": 2.0}, {"loss": 0.5, "val_loss": 1.0}]},
        "decision": "head ships",
        "left_out": [{"path": "a/b.txt", "reason": "no picture", "kind": ""}],
        "findings": [{"severity": "warning", "message": "2 classes: `<b>` is small"}],
    }
    report.write(tmp_path / "report.html", manifest, metrics, "9 pictures")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_has_the_figures_the_advice_and_what_was_left_out(tmp_path: Path) -> None:
    shown = page(tmp_path, [[8, 2], [0, 10]], ("cat", "dog"))
    assert '<p class="figure">90.0%</p>' in shown
    assert "2 of 10 <code>cat</code> pictures were taken for <code>dog</code>" in shown
    assert "a/b.txt: no picture" in shown
    assert "Warning: 2 classes: <code>&lt;b&gt;</code> is small." in shown
    assert "onnx 2.0e-07" in shown


def test_names_from_folders_cannot_become_markup(tmp_path: Path) -> None:
    shown = page(tmp_path, [[1, 1], [0, 1]], ("<script>alert(1)</script>", "b"))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_no_mistakes_are_said(tmp_path: Path) -> None:
    assert "No test picture was answered wrongly" in page(tmp_path, [[1, 0], [0, 1]], ("a", "b"))


def test_curves_start_left_and_high_values_are_up() -> None:
    curve = report._curve("head", [{"loss": 1, "val_loss": 2}, {"loss": 0, "val_loss": 1}])
    assert curve["top"] == 2
    assert curve["train"] == "40.0,60.0 390.0,110.0"
    assert curve["validation"] == "40.0,10.0 390.0,60.0"


@pytest.mark.parametrize(("share", "text"), [(0.9333, "93.3%"), (1, "100.0%"), (None, "none")])
def test_percent(share: float | None, text: str) -> None:
    assert report.percent(share) == text
