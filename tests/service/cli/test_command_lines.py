from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import command_lines


def test_the_command_uses_the_current_interpreter(tmp_path: Path) -> None:
    line = command_lines.python_command("trainers.promote", "a b", "--help")
    assert shlex.split(line) == [sys.executable, "-m", "trainers.promote", "a b", "--help"]


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_serving_changes_to_the_checkout_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_elsewhere: bool
) -> None:
    root = tmp_path / "a checkout"
    root.mkdir()
    (root / "bentofile.yaml").touch()
    monkeypatch.setattr(command_lines, "ROOT", root)
    monkeypatch.chdir(tmp_path if is_elsewhere else root)
    line = command_lines.serve_command("leaves:1")
    assert line.startswith(f"cd '{root}' && " if is_elsewhere else "GRAFT_MODEL=")
    assert line.endswith(f"GRAFT_MODEL=leaves:1 {Path(sys.executable).with_name('bentoml')} serve")
    command = line.replace(line[line.index("GRAFT_MODEL") :], "pwd -P")  # instead of a server
    completed = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert Path(completed.stdout.strip()) == root.resolve()


def test_without_a_checkout_the_command_names_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_lines, "ROOT", tmp_path)
    assert command_lines.serve_command("leaves:1").endswith("bentoml serve service.app:Classifier")
