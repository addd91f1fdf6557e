"""The command trainers.conformance: its output, its exit codes, and backbones of other packages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins import registry
from plugins.base import Variant
from plugins.registry import register
from plugins.scaling import to_unit_range
from tests.trainers.conformance.conftest import Sound
from trainers.conformance import __main__, checking

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/graft-squeeze"


@pytest.fixture
def broken_family() -> Iterator[str]:
    class Broken(Sound):
        family = "broken"
        variants = {"s": Variant("", 32, 1, to_unit_range)}

    register(Broken)
    yield "broken"
    registry._registered.pop("broken")


def test_the_command_exits_with_2_and_prints_broken_promises(
    broken_family: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    promises = {"parameters": checking.PROMISES["parameters"]}
    monkeypatch.setattr(checking, "PROMISES", promises)
    assert __main__.main([broken_family, "--image-size", "32"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok   builds: ")
    assert lines[1].startswith("FAIL parameters: ")
    assert lines[2] == "broken:s: 1 of 2 checks failed"
    assert __main__.main(["tiny"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "tiny:s: all 2 checks passed"


def test_an_unknown_name_is_refused_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["resnett"]) == 2
    assert "Did you mean `resnet`?" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["0", "-3", "99999999", "x"])
def test_an_impossible_image_size_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["pocket", f"--image-size={size}"]) == 2
    error = capsys.readouterr().err
    assert f"argument --image-size: {size} is not a size from 32 to 1024 pixels" in error


def test_help_imports_no_framework() -> None:
    code = "import sys; from trainers.conformance.__main__ import main; sys.argv[1:] = ['--help'];"
    code += "import atexit; atexit.register(lambda: print(*sys.modules)); main()"
    command = [sys.executable, "-c", code]
    completed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "FAMILY[:VARIANT]" in completed.stdout
    assert not {"keras", "tensorflow", "onnx"} & set(completed.stdout.split())


@pytest.mark.slow
def test_the_example_package_is_found_and_keeps_every_promise(tmp_path: Path) -> None:
    lines = [file.read_text().splitlines() for file in EXAMPLE.glob("*.*")]
    assert sum(map(len, lines)) <= 40
    source = tmp_path / "source"
    source.mkdir()
    for file in EXAMPLE.glob("*.*"):
        (source / file.name).write_text(file.read_text())
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--no-index", "--target", target, source], check=True)

    def run_module(module: str, *arguments: str) -> str:
        path = os.pathsep.join([str(target), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-m", module, *arguments]
        completed = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )
        assert completed.returncode == 0, completed.stdout + completed.stderr
        return completed.stdout

    assert "squeeze:1 " in run_module("trainers.run", "--list-plugins")
    assert (
        run_module("trainers.conformance", "squeeze").splitlines()[-1]
        == "squeeze:1: all 13 checks passed"
    )
