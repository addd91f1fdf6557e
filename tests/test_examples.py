"""The cells of the notebook in examples/ run without errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples/python.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[dict[str, Any]]:
    content: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The variables of a new notebook in an empty folder."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType("notebook")
    monkeypatch.setitem(sys.modules, "notebook", module)
    return vars(module)


def test_notebook_is_stored_without_outputs(cells: list[dict[str, Any]]) -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.slow
def test_cells_run_in_order(
    cells: list[dict[str, Any]], namespace: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for number, cell in enumerate(cells, 1):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), namespace)
    assert namespace["result"].metrics["test"]["accuracy"] > 0.7
    assert namespace["answer"].label == "rust"
    assert namespace["by_bytes"] == namespace["answer"]
    printed, errors = capsys.readouterr()
    assert "not a picture in a supported format" in printed
    assert errors == ""
