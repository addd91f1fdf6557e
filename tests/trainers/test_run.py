"""The command trainers.run from start to end, with the tiny backbone."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import onnx
import pytest
from PIL import Image

from service.bundle.reading import Bundle
from service.bundle.store import resolve
from service.engine.predictor import Predictor
from service.imaging import decode
from trainers.dataset.samples import PICTURES_PER_CLASS, draw_samples
from trainers.exporting import export, formats
from trainers.run import main

pytestmark = pytest.mark.slow

DrawFolder = Callable[..., Path]
ROOT = Path(__file__).parents[2]
QUICK = ["--plugin", "tiny", "--weights", "none", "--batch-size", "8"]
QUICK += ["--strategy", "fine-tune", "--fine-tune-epochs", "2", "--fine-tune-layers", "2"]
HEAD_ONLY = ("--strategy", "features")


@pytest.fixture
def folder(tmp_path: Path, draw_folder: DrawFolder) -> Path:
    return draw_folder(tmp_path / "pictures", red=14, green=14, blue=14)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, draw_folder: DrawFolder) -> Path:
    return draw_folder(tmp_path_factory.mktemp("run") / "pictures", red=14, green=14, blue=14)


@pytest.fixture(scope="module")
def bundle(pictures: Path) -> Bundle:
    """The bundle of one finished run, found by the path that the run printed."""
    output = pictures.parent / "artifacts"
    command = [sys.executable, "-c", RUN_WITH_TINY, *QUICK, "--json"]
    command += ["--data", str(pictures), "--output", str(output), "--strategy", "fine-tune"]
    command += ["--tensorboard", str(pictures.parent / "logs")]
    command += ["--name", "first"]  # no other test uses this name, so no model is replaced
    environment = {**os.environ, "GRAFT_CACHE": str(pictures.parent / "cache")}  # an empty cache
    completed = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert completed.returncode == 0, completed.stderr
    lines = [json.loads(line) for line in completed.stderr.splitlines() if line.startswith("{")]
    assert {line["event"] for line in lines} == {"log", "step", "epoch"}
    assert any(line["step"] == "fine-tuning" for line in lines if line["event"] == "step")
    *_, epoch = (line for line in lines if line["event"] == "epoch")
    assert (epoch["phase"], epoch["epoch"], epoch["epochs"]) == ("fine-tuning", 2, 2)
    assert set(epoch) >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    result = json.loads(completed.stdout.splitlines()[-1])
    assert set(result) >= {"bundle", "model", "test_accuracy", "seconds"}
    assert (result["data"], result["replaces"]) == ("pictures of a folder", None)
    bundle = Bundle.read(Path(result["bundle"]))
    assert result["model"] == f"first:{bundle.manifest.version}"
    return bundle


RUN_WITH_TINY = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
import conftest  # registers the tiny backbone
from trainers.run import main
sys.exit(main())
"""


def test_a_run_ends_in_a_bundle_that_has_all_its_parts(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert manifest.classes == ("blue", "green", "red")
    assert manifest.plugin == "tiny:s"
    assert manifest.input.size == 32
    assert set(manifest.files) >= {
        *("model.onnx", "metrics.json", "config.json", "report.html", "split.csv"),
        "heat_maps.onnx.part",
        *("findings.json", "calibration.json", "README.md"),
        *("suspects.csv", "learning_curve.csv"),
        *("golden/answers.json", "saved_model/saved_model.pb"),
    }
    assert manifest.provenance["seed"] == 0
    data = manifest.provenance["data"]
    assert (data["source"], data["folder"]) == ("pictures of a folder", "pictures")
    assert manifest.metrics["test_accuracy_low"] < manifest.metrics["test_accuracy"]
    assert manifest.metrics["test_majority_share"] == 3 / 5
    assert manifest.provenance["weights"]["source"] == "none"
    assert len(manifest.provenance["weights"]["sha256"]) == 64
    assert manifest.parity["max_difference"]["onnx"] < export.PARITY_TOLERANCE
    assert manifest.parity["heat_maps"]["difference"] < manifest.parity["heat_maps"]["tolerance"]


def test_the_model_card_has_the_figures_and_the_command_of_the_run(bundle: Bundle) -> None:
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    assert "An image classifier with 3 classes: `blue`, `green`, `red`." in card
    assert f"| accuracy | {100 * bundle.manifest.metrics['test_accuracy']:.1f}% (" in card
    command = "python -m trainers.run --plugin tiny --data pictures --weights none --name first"
    assert f"{command} --batch-size 8 --strategy fine-tune" in card
    assert "Licence of the pictures" in card


def test_the_reported_accuracy_equals_that_of_the_served_bundle(
    bundle: Bundle, pictures: Path
) -> None:
    metrics = json.loads((bundle.path / "metrics.json").read_text())
    predictor = Predictor(bundle)
    with (bundle.path / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    images = np.stack([decode((pictures / row["path"]).read_bytes(), 32) for row in rows])
    labels = [bundle.manifest.classes[index] for index in predictor.predict(images).argmax(axis=1)]
    correct = sum(label == row["class"] for label, row in zip(labels, rows, strict=True))
    assert metrics["test"]["n"] == len(rows) == 5
    assert metrics["test"]["accuracy"] == correct / len(rows)
    assert metrics["test"]["accuracy"] > 0.6
    assert bundle.manifest.metrics["test_accuracy"] == metrics["test"]["accuracy"]


def add_unusual_pictures(folder: Path) -> set[str]:
    """Add a picture of each kind that is not plain RGB; return the paths in the folder."""
    upright = Image.open(folder / "red/0.png")
    deep = (np.asarray(upright.convert("L"), np.uint16) << 8) + 77
    turned = Image.Exif()
    turned[0x0112] = 6
    upright.convert("CMYK").save(folder / "red/cmyk.jpg", quality=90)
    upright.convert("L").save(folder / "green/gray.png")
    upright.convert("P").save(folder / "green/palette.png")
    Image.fromarray(deep).save(folder / "green/deep.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "blue/turned.jpg", exif=turned)
    alpha = upright.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(upright.size))
    alpha.save(folder / "blue/alpha.webp", lossless=True)
    (folder / "blue/misnamed.jpg").write_bytes((folder / "red/1.png").read_bytes() + b"\0")
    names = ("red/cmyk.jpg", "green/gray.png", "green/palette.png", "green/deep.png")
    return {*names, "blue/turned.jpg", "blue/alpha.webp", "blue/misnamed.jpg"}


def test_unusual_pictures_are_decoded_alike_in_training_and_service(
    folder: Path, tmp_path: Path
) -> None:
    unusual_paths = add_unusual_pictures(folder)
    options = ("--data", folder, *HEAD_ONLY, "--output", tmp_path / "out", "--name", "odd")
    assert run(*QUICK, *options) == 0
    (path,) = (tmp_path / "out").glob("odd-*")
    predictor = Predictor(Bundle.read(path))
    metrics = json.loads((path / "metrics.json").read_text())
    with (path / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert unusual_paths <= {row["path"] for row in rows}
    tested = [row for row in rows if row["split"] == "test"]
    images = np.stack([decode((folder / row["path"]).read_bytes(), 32) for row in tested])
    labels = [predictor.classes[index] for index in predictor.predict(images).argmax(axis=1)]
    correct = sum(label == row["class"] for label, row in zip(labels, tested, strict=True))
    assert metrics["test"]["accuracy"] == correct / len(tested)
    wrong = {
        row["path"] for label, row in zip(labels, tested, strict=True) if label != row["class"]
    }
    assert {row["path"] for row in metrics["test"]["mistakes"]} == wrong
    assert unusual_paths & {row["path"] for row in tested}


def test_a_table_of_labels_is_trained_on_like_folders(folder: Path, tmp_path: Path) -> None:
    files = sorted(folder.glob("*/*.png"))
    lines = [f"{path.name};{path.parent.name};{index // 2}" for index, path in enumerate(files)]
    lines = [f"{path.parent.name}/{line}" for path, line in zip(files, lines, strict=True)]
    table = folder / "labels.csv"
    table.write_text("\n".join(["Image;Class;Patient", *lines, "red/none.png;red;99"]), "utf-8-sig")
    options = (*HEAD_ONLY, "--output", tmp_path / "out", "--name", "table")
    assert run(*QUICK, "--data", table, *options) == 0
    (path,) = (tmp_path / "out").glob("table-*")
    metrics = json.loads((path / "metrics.json").read_text())
    assert metrics["findings"][0]["kind"] == "unreadable"
    with (path / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"]: row["class"] for row in rows} == {
        path.relative_to(folder).as_posix(): path.parent.name for path in files
    }
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["group"], set()).add(row["split"])
    assert len(splits) == 21
    assert all(len(names) == 1 for names in splits.values())


def test_a_run_may_have_more_formats_and_folds(folder: Path, tmp_path: Path) -> None:
    options = (
        "--output",
        tmp_path / "out",
        "--name",
        "formats",
        "--export",
        "openvino, litert,keras",
        "--folds",
        "2",
    )
    assert run(*QUICK, "--data", folder, *HEAD_ONLY, *options) == 0
    (path,) = (tmp_path / "out").glob("formats-*")
    manifest = Bundle.read(path).manifest
    files = {
        "model.keras",
        "model.tflite",
        "openvino/model.xml",
        "openvino/model.bin",
        "labels.txt",
    }
    assert set(manifest.files) >= files
    assert (path / "labels.txt").read_text() == "blue\ngreen\nred\n"
    formats = ["onnx", "saved_model", "keras", "litert", "openvino"]
    assert list(manifest.parity["max_difference"]) == formats
    folds = json.loads((path / "metrics.json").read_text())["folds"]
    assert (folds["k"], folds["n"]) == (2, folds["folds"][0]["n"] + folds["folds"][1]["n"])


def test_the_bundle_is_in_bentomls_store(bundle: Bundle, bentoml_home: Path) -> None:
    tag = f"first:{bundle.manifest.version}"
    assert bentoml.models.get(tag).info.metadata["classes"] == ["blue", "green", "red"]
    assert Bundle.read(resolve(tag)).manifest == bundle.manifest


def test_nothing_is_left_beside_the_bundle(bundle: Bundle) -> None:
    names = {path.name for path in bundle.path.parent.iterdir()}
    assert names == {bundle.path.name, "checkpoints", ".graft.lock"}


def test_the_config_that_was_used_is_recorded(bundle: Bundle) -> None:
    recorded = json.loads((bundle.path / "config.json").read_text())
    assert (recorded["plugin"], recorded["batch_size"], recorded["seed"]) == ("tiny", 8, 0)


def test_the_report_shows_the_figures(bundle: Bundle) -> None:
    page = (bundle.path / "report.html").read_text()
    metrics = json.loads((bundle.path / "metrics.json").read_text())
    assert f"{100 * metrics['test']['accuracy']:.1f}%" in page
    assert all(f'title="{label}">{label}<' in page for label in bundle.manifest.classes)
    assert page.count('<svg class="chart"') == 2 * len(metrics["phases"])
    assert f"epoch {metrics['shipped']['best_fine_tuning_epoch']} " in page
    assert metrics["decision"][1:] in page
    assert "http" not in page


def test_the_findings_are_in_the_bundle(bundle: Bundle) -> None:
    metrics = json.loads((bundle.path / "metrics.json").read_text())
    findings = json.loads((bundle.path / "findings.json").read_text())
    assert findings["classes"] == {"blue": 14, "green": 14, "red": 14}
    assert [finding["kind"] for finding in metrics["findings"]] == []
    assert findings["findings"] == []
    assert "The check of the folder found no problems" in (bundle.path / "report.html").read_text()


def test_findings_are_logged_and_fatal_with_strict(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(folder / "red/0.png", folder / "blue/also.png")
    options = ("--data", folder, "--output", tmp_path / "out", "--strict")
    assert run(*QUICK, *options) == 2
    errors = capsys.readouterr().err
    assert "error: 1 group of duplicates in different classes" in errors
    assert "blue/also.png = red/0.png" in errors
    assert "--strict stops the run because of 1 finding, listed above" in errors
    assert not list((tmp_path / "out").glob("classifier*"))


def test_metrics_hold_the_seconds_of_each_step(bundle: Bundle) -> None:
    metrics = json.loads((bundle.path / "metrics.json").read_text())
    assert list(metrics["seconds"]) == [
        *(
            "scanning",
            "reading files",
            "inspecting files",
            "comparing pictures",
            "checking",
            "decoding",
            "extracting features",
        ),
        *("training the head", "extracting feature maps", "fine-tuning"),
        "looking for wrong labels",
        *("exporting ONNX", "calibrating on validation", "exporting ONNX and SavedModel"),
        "comparing the exports with Keras",
        *("exporting heat maps", "evaluating on validation", "evaluating on test"),
        *("embedding training pictures", "fitting the reference of drift"),
    ]
    assert all(seconds >= 0 for seconds in metrics["seconds"].values())
    assert metrics["seconds"]["fine-tuning"] > 0


def test_metrics_name_the_misclassified_pictures(bundle: Bundle) -> None:
    test = json.loads((bundle.path / "metrics.json").read_text())["test"]
    wrong = round(test["n"] * (1 - test["accuracy"]))
    assert len(test["mistakes"]) == wrong
    assert all(row["path"].startswith(f"{row['truth']}/") for row in test["mistakes"])


def test_tensorboard_logs_hold_both_phases(bundle: Bundle) -> None:
    logs = bundle.path.parents[1] / "logs"
    folders = {path.parent.relative_to(logs).as_posix() for path in logs.rglob("events.out.*")}
    phases, kinds = ("head", "fine-tuning"), ("training", "validation")
    assert folders == {f"{phase}/{kind}" for phase in phases for kind in kinds}


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--plugin", "resnett"), "Did you mean `resnet`?"),
        (("--plugin", "tiny", "--batch-size", "0"), "--batch-size (='0')"),
        (("--plugin", "tiny", "--batch", "0"), "use --batch-size instead of --batch"),
        (("--plugin", "tiny", "--data", "nowhere"), "no folder nowhere"),
        (
            ("--plugin", "tiny", "--weights", "nowhere.h5", "--data", "demo"),
            "nowhere.h5 does not exist",
        ),
        (("--plugin", "tiny", "--data", "demo"), "--weights PATH"),
    ],
)
def test_wrong_use_ends_with_2_and_a_message(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert run(*arguments, "--output", tmp_path / "out") == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert not list(tmp_path.glob("out/classifier*"))
    assert run(*arguments, "--output", tmp_path / "out", "--json") == 2
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert message in lines[-1]["message"]


def test_bad_data_ends_with_2_and_leaves_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder / "red")
    shutil.rmtree(folder / "green")
    assert run(*QUICK, "--data", folder, "--output", tmp_path / "out") == 2
    assert "has only one class" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".graft.lock"]


def test_an_export_that_differs_publishes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bentoml_home: Path
) -> None:
    broken_format = replace(formats.FORMATS["onnx"], open=lambda path: lambda images: images / 0)
    monkeypatch.setitem(export._ALL_FORMATS, "onnx", broken_format)
    options = ("--data", folder, "--output", tmp_path / "out", "--name", "wrong", *HEAD_ONLY)
    with np.errstate(all="ignore"):
        assert run(*QUICK, *options) == 1
    assert not list((tmp_path / "out").glob("wrong*"))
    assert not (bentoml_home / "models/wrong").exists()


def test_quiet_shows_only_warnings_and_the_result(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*HEAD_ONLY, "--name", "quiet", "--quiet")
    assert run(*QUICK, *options, "--data", folder, "--output", tmp_path / "out") == 0
    captured = capsys.readouterr()
    (bundle,) = (tmp_path / "out").glob("quiet-*")
    assert captured.out == f"{bundle}\n"
    lines = captured.err.splitlines()
    assert lines[0].startswith("careful: only 5 test pictures")
    assert all(line.startswith("careful: ") for line in lines)


def test_without_data_the_sample_pictures_are_drawn_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    samples = draw_samples(tmp_path / "few", per_class=20)  # drawing 600 takes half a minute
    (tmp_path / "cache").mkdir()
    samples.rename(tmp_path / "cache" / samples.name.replace("-20-", f"-{PICTURES_PER_CLASS}-"))
    options = (*HEAD_ONLY, "--name", "leaves")
    assert run(*QUICK, *options) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("training on drawn sample pictures of leaves in ")
    assert lines[0].endswith(" (no --data is given, and there is no folder data/ here)")
    assert re.search(r"test accuracy \S+ on \d+ drawn sample pictures", "\n".join(lines))
    assert any(line.startswith("careful: the model was trained on drawn sample") for line in lines)
    (bundle,) = Path("artifacts").glob("leaves-*")
    manifest = Bundle.read(bundle).manifest
    assert manifest.classes[0] == "healthy"
    assert manifest.provenance["data"]["source"] == "drawn sample pictures"
    page = (bundle / "report.html").read_text()
    assert page.index("drawn sample pictures, not on yours") < page.index("<h1>")
    assert run(*QUICK, *options, "--data", "demo", "--weights", "none") == 0
    lines = capsys.readouterr().err.splitlines()
    replaced = f"the model is now `leaves:latest` and replaces leaves:{manifest.version}"
    assert replaced in "\n".join(lines)
    assert any(line.startswith("accuracy on the same ") for line in lines)


def run_process(
    arguments: Sequence[object],
    moment: str = "(never)",
    signal_number: signal.Signals = signal.SIGKILL,
    pause: float = 0,
) -> int:
    """Run the command in another process; return its exit code.

    The signal is sent `pause` seconds after a log line that starts with `moment`.
    """
    command = [sys.executable, "-c", RUN_WITH_TINY, *QUICK, *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith(moment):
                time.sleep(pause)
                process.send_signal(signal_number)
        process.communicate(timeout=300)
    return process.returncode


def read_results(output: Path, name: str) -> tuple[dict[str, Any], list[bytes]]:
    """Read the metrics of a bundle and the weights in its ONNX file."""
    (path,) = output.glob(f"{name}-*")
    metrics = json.loads((path / "metrics.json").read_text())
    weights = onnx.load(path / "model.onnx").graph.initializer
    chosen = {key: metrics[key] for key in ("test", "validation", "phases", "decision")}
    return chosen, sorted(tensor.raw_data for tensor in weights)


@pytest.mark.parametrize(
    ("moment", "hint"),
    [
        ("training on", ""),
        ("linear head", "; the results so far are kept in the cache"),
        (
            "fine-tuning epoch 2/",
            "; to continue after the last complete epoch, run the same command",
        ),
    ],
)
def test_ctrl_c_leaves_nothing_incomplete_and_says_what_is_saved(
    folder: Path, tmp_path: Path, moment: str, hint: str
) -> None:
    output = tmp_path / "out"
    options = ["--data", folder, "--fine-tune-epochs", 50, "--name", "one", "--output", output]
    command = [sys.executable, "-c", RUN_WITH_TINY, *QUICK, *map(str, options)]
    environment = {**os.environ, "GRAFT_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        preexec_fn=enable_ctrl_c,  # noqa: PLW1509 - no thread of ours holds a lock then
    ) as process:
        assert process.stderr
        next(line for line in process.stderr if line.startswith(moment))
        for _ in range(2):  # users press Ctrl-C twice
            process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    last_line = stderr.splitlines()[-1]
    assert last_line.startswith(f"graft: stopped; no incomplete bundle is left{hint}")
    assert hint or last_line.endswith("is left")
    names = {path.name for path in output.glob("*")}
    assert names <= {".graft.lock", "checkpoints"}


def enable_ctrl_c() -> None:
    """Restore SIGINT, which shells disable in background processes (tests may be one)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


FOUR_EPOCHS = ("--fine-tune-epochs", 4, "--name", "one")


@pytest.fixture(scope="module")
def uninterrupted(
    pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], list[bytes]]:
    output = tmp_path_factory.mktemp("uninterrupted")
    assert run_process(("--data", pictures, *FOUR_EPOCHS, "--output", output)) == 0
    return read_results(output, "one")


@pytest.mark.parametrize(
    "signal_number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_a_resumed_run_has_the_results_of_an_uninterrupted_one(
    pictures: Path,
    tmp_path: Path,
    uninterrupted: tuple[dict[str, Any], list[bytes]],
    signal_number: signal.Signals,
) -> None:
    options = ("--data", pictures, *FOUR_EPOCHS, "--output", tmp_path)
    exit_code = run_process(options, "fine-tuning epoch 2/", signal_number)
    assert exit_code == (75 if signal_number == signal.SIGTERM else -signal.SIGKILL)
    assert not list(tmp_path.glob("one-*"))
    assert run_process((*options, "--resume")) == 0
    assert read_results(tmp_path, "one") == uninterrupted


def test_the_same_run_twice_gives_identical_results(folder: Path, tmp_path: Path) -> None:
    options = ("--data", folder, *HEAD_ONLY, "--output", tmp_path / "out", "--name")
    assert run(*QUICK, *options, "one") == 0
    assert run(*QUICK, *options, "two", "--cache-gigabytes", 0) == 0
    assert read_results(tmp_path / "out", "one") == read_results(tmp_path / "out", "two")


def test_resuming_with_other_options_is_refused(
    bundle: Bundle, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--data", pictures, "--output", bundle.path.parent, "--name", "first")
    assert run(*QUICK, *options, "--seed", 1, "--resume") == 2
    assert "other pictures, options or weights" in capsys.readouterr().err


def test_a_killed_run_leaves_no_incomplete_bundle(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = ("--name", "killed", "--data", folder, "--output", output)
    for moment in ("exporting", "test accuracy"):
        run_process(command, moment, signal.SIGKILL, pause=0.3)
        for path in output.glob("killed-*"):
            Bundle.read(path)  # raises an error if the bundle is incomplete
    assert run(*QUICK, "--data", folder, "--output", output, "--name", "next", *HEAD_ONLY) == 0
    assert not list(output.glob(".graft-*.partial"))
