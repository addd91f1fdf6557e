"""The command trainers.compare, with the backbones tiny and pocket."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_unit_range
from trainers import compare, run
from trainers.compare import main
from trainers.comparing import measuring

DrawFolder = Callable[..., Path]
ROOT = Path(__file__).parents[2]


@register
class Broken(Backbone):
    """A backbone whose code raises an unexpected exception."""

    family = "unbuildable"
    default_variant = "s"
    variants = {"s": Variant("", 32, 1, to_unit_range)}

    def build(self, weights: str | None, image_size: int) -> Any:
        raise ZeroDivisionError("a stranger's bug")


@pytest.fixture
def folder(tmp_path: Path, draw_folder: DrawFolder, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))  # an empty cache
    monkeypatch.setattr(measuring, "MIN_SECONDS", 0.0)
    return draw_folder(tmp_path / "pictures", red=14, green=14, blue=14)


def start(folder: Path, *options: object) -> int:
    output = folder.parent / "out"
    shared = ["--data", str(folder), "--output", str(output), "--quiet"]
    return main([*shared, *map(str, options)])


@pytest.mark.slow
def test_backbones_are_compared_and_those_that_fail_are_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "<script>alert(1)<"
    (folder / "red").rename(folder / hostile)
    plugins = "tiny=none,tiny,pocket,unbuildable=none,tiny=missing.h5"
    assert start(folder, "--plugins", plugins, "--image-size", 32) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    page = Path(lines[-1])
    assert {path.name for path in page.parent.iterdir()} == {
        *(page.name, page.with_suffix(".json").name, ".graft.lock")
    }
    printed = captured.out
    assert "tiny:s: left out: the ImageNet weights of tiny:s cannot be downloaded here." in printed
    assert "unbuildable:s=none: left out: ZeroDivisionError: a stranger's bug" in printed
    assert "tiny:s=missing.h5: left out: the weights file missing.h5 does not exist" in printed
    assert "unbuildable:s=none is left out" in captured.err
    content = json.loads(page.with_suffix(".json").read_text())
    rows = content["candidates"]
    accuracies = [row["validation_accuracy"] for row in rows if "problem" not in row]
    assert len(accuracies) == 2
    assert content["plugin"] in ("tiny:s", "pocket:1")
    assert content["command"] in printed
    assert hostile in content["data"]["classes"]
    html = page.read_text()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;" in html


@pytest.mark.slow
def test_a_run_of_the_winner_reuses_its_features_and_has_the_same_figures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(folder, "--plugins", "tiny=none", "--seed", 5, "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert Path(result["page"]).is_file()
    words = result["command"].split()
    options = ["--strategy", "features", "--output", str(folder.parent / "out"), "--json"]
    assert run.main([*words[words.index("trainers.run") + 1 :], *options]) == 0
    bundle = json.loads(capsys.readouterr().out.splitlines()[-1])["bundle"]
    metrics = json.loads((Path(bundle) / "metrics.json").read_text())
    assert "extracting features" not in metrics["seconds"]
    (candidate,) = result["candidates"]
    assert metrics["validation"]["accuracy"] == candidate["validation_accuracy"]
    assert metrics["test"]["accuracy"] == candidate["test_accuracy"]


@pytest.mark.slow
def test_it_fails_if_no_backbone_can_be_measured(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(folder, "--plugins", "tiny,unbuildable=none") == 2
    captured = capsys.readouterr()
    assert "no backbone could be measured" in captured.err
    assert captured.out == ""
    assert [path.name for path in (folder.parent / "out").iterdir()] == [".graft.lock"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--plugins", "mobilnet"), "Did you mean `mobilenet`"),
        (("--image-size", "7"), "--image-size (='7')"),
        (("--plugins", "tiny=none", "--strict", "--image-size", "128"), "--strict stops"),
    ],
)
def test_wrong_use_is_reported_before_anything_is_loaded(
    folder: Path, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(folder, *options) == 2
    assert message in capsys.readouterr().err


def test_the_default_backbones_exist() -> None:
    assert len(compare.parse_candidates(compare.PLUGINS)) == 6


def test_help_works_without_tensorflow() -> None:
    code = """
import sys
for name in ("tensorflow", "keras", "onnxruntime", "bentoml"):
    sys.modules[name] = None
from trainers.compare import main
main(["--help"])
"""
    command = [sys.executable, "-c", code]
    completed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert "--plugins A,B,C" in completed.stdout


def test_several_labels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--task", "multi-label"]) == 2
    assert "trainers.compare compares only models that answer with one" in capsys.readouterr().err
