"""The command trainers.evaluate from start to end, with a model of colours."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.bundle.store import save
from trainers.evaluate import main

Draw = Callable[..., bytes]
FAST = {"SESSIONS": "1", "SESSION_THREADS": "1", "MAX_BATCH_SIZE": "2", "DEVICE": "cpu"}
"""Settings with which the model is not timed."""


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FAST.items():
        monkeypatch.setenv(f"GRAFT_{name}", value)


@pytest.fixture
def data(tmp_path: Path, draw: Draw) -> Path:
    """Four pictures of each colour; the third green one is blue."""
    for colour in ("red", "green", "blue"):
        (tmp_path / "data" / colour).mkdir(parents=True)
        for number in range(4):
            shown = "blue" if (colour, number) == ("green", 2) else colour
            content = draw(shown, size=(64, 48 + 5 * number + len(colour)))
            (tmp_path / "data" / colour / f"{number}.jpg").write_bytes(content)
    return tmp_path / "data"


@pytest.fixture
def bundle(tmp_path: Path, tiny_bundle: Bundle, manifest: Manifest, data: Path) -> Bundle:
    """A model that was trained on the first two pictures of each colour."""
    staging = tmp_path / "staging"
    shutil.copytree(tiny_bundle.path, staging)
    (staging / "manifest.json").unlink()
    with (staging / "split.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "sha256", "class", "split"])
        for path in sorted(data.rglob("*.jpg")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            split = "train" if path.stem in "01" else "test"
            writer.writerow([path.relative_to(data).as_posix(), digest, path.parent.name, split])
    return seal(staging, manifest, tmp_path)


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_model_is_measured_on_what_it_has_not_learned(
    tmp_path: Path, bundle: Bundle, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run(bundle.path, "--data", data, "--output", output) == 0
    printed = capsys.readouterr()
    page = Path(printed.out.splitlines()[-1])
    assert page.parent.parent == output
    assert page.read_text().startswith("<!doctype html>")
    metrics = json.loads((page.parent / "metrics.json").read_text())
    assert (metrics["test"]["n"], metrics["test"]["accuracy"]) == (6, 5 / 6)
    assert len((page.parent / "predictions.csv").read_text().splitlines()) == 1 + 6
    assert "6 of 12 pictures are those that the model was trained or validated on" in printed.err
    assert "accuracy 0.8333 on 6 pictures" in printed.err
    assert [path.name for path in output.iterdir() if path.is_dir()] == [page.parent.name]


def test_the_model_of_the_service_is_the_default(
    tmp_path: Path,
    bundle: Bundle,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    empty_home: Path,
) -> None:
    tag = save(bundle)
    monkeypatch.setenv("GRAFT_MODEL", "tiny:latest")
    assert run("--data", data, "--output", tmp_path / "out", "--json", "--quiet") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model"] == tag
    assert (result["accuracy"], result["pictures"], result["seen"]) == (5 / 6, 6, 6)
    assert Path(result["page"]).is_file()
    assert result["seconds"] >= 0


def test_wrong_use_and_bad_data_end_with_2_and_write_nothing(
    tmp_path: Path, bundle: Bundle, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ("--output", tmp_path / "out")
    assert run(bundle.path) == 2
    assert "--data" in capsys.readouterr().err
    assert run(bundle.path, "--data", data, "--output", "") == 2
    assert "argument --output: the path is empty" in capsys.readouterr().err
    assert run("", "--data", data, *output) == 2
    assert "argument MODEL: the value is empty" in capsys.readouterr().err
    assert run(tmp_path / "nothing", "--data", data, *output) == 2
    assert "no model" in capsys.readouterr().err
    assert run(bundle.path, "--data", tmp_path / "nothing", *output) == 2
    assert "there is no folder" in capsys.readouterr().err
    for path in data.rglob("[23].jpg"):
        path.unlink()
    assert run(bundle.path, "--data", data, *output) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"graft: {data}: the model was trained or validated on all pictures")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".graft.lock"]


def test_help_is_fast() -> None:
    started = time.process_time()
    command = [sys.executable, "-X", "importtime", "-m", "trainers.evaluate", "--help"]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "MODEL" in completed.stdout
    assert time.process_time() - started < 1
    assert "onnxruntime" not in completed.stderr


def test_a_multi_label_model_is_measured_on_a_table(
    staging: Path, multi_label_manifest: Manifest, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = seal(staging, multi_label_manifest, staging.parent)
    output = ("--output", staging.parent / "out", "--json")
    assert run(bundle.path, "--data", data, *output) == 2
    assert "several labels per picture need a table of labels" in capsys.readouterr().err
    table = data / "labels.csv"
    rows = ("path,label", "red/0.jpg,green|red", "red/1.jpg,", "green/0.jpg,green", "blue/0.jpg,")
    table.write_text("\n".join(rows))
    assert run(bundle.path, "--data", table, *output) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["pictures"], result["accuracy"]) == (4, 0.5)  # blue/0.jpg has green and blue
    page = Path(result["page"])
    assert "Labels that occur together" in page.read_text()
    with (page.parent / "predictions.csv").open(newline="") as file:
        answers = {row["path"]: row["labels"] for row in csv.DictReader(file)}
    assert answers["red/1.jpg"] == "green|red"
