from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import next_command


def test_a_command_is_this_interpreters(tmp_path: Path) -> None:
    line = next_command.python("trainers.promote", "a b", "--help")
    assert shlex.split(line) == [sys.executable, "-m", "trainers.promote", "a b", "--help"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_serving_names_its_folder_where_one_stands_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    root = tmp_path / "a checkout"
    root.mkdir()
    (root / "bentofile.yaml").touch()
    monkeypatch.setattr(next_command, "ROOT", root)
    monkeypatch.chdir(tmp_path if elsewhere else root)
    line = next_command.serve("leaves:1")
    assert line.startswith(f"cd '{root}' && " if elsewhere else "GRAFT_MODEL=")
    assert line.endswith(f"GRAFT_MODEL=leaves:1 {Path(sys.executable).with_name('bentoml')} serve")
    where = line.replace(line[line.index("GRAFT_MODEL") :], "pwd -P")  # in place of a server
    found = subprocess.run(["sh", "-c", where], capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == root.resolve()


def test_without_a_checkout_the_service_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_command, "ROOT", tmp_path)
    assert next_command.serve("leaves:1").endswith("bentoml serve service.app:Classifier")
