from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.bundle import store
from service.bundle.reading import Bundle
from service.predict import main
from tests.service.conftest import BLOCKER

ROOT = Path(__file__).parents[2]
Draw = Callable[..., bytes]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tiny_bundle: Bundle) -> None:
    """Use the tiny bundle with a fixed configuration, so that no configurations are measured."""
    monkeypatch.setenv("GRAFT_MODEL", str(tiny_bundle.path))
    for name, value in {"SESSIONS": 2, "SESSION_THREADS": 1, "MAX_BATCH_SIZE": 2}.items():
        monkeypatch.setenv(f"GRAFT_{name}", str(value))


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("red", "green", "blue"):
        (folder / f"{name}.png").write_bytes(draw(name, "PNG"))
    return folder


def test_a_line_per_picture_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder / "red.png"), str(folder)]) == 0
    out, err = capsys.readouterr()
    assert [line.split("\t") for line in out.splitlines()] == [
        [str(folder / f"{name}.png"), name, "0.9880"] for name in ("red", "blue", "green", "red")
    ]
    model_line, summary_line = err.splitlines()
    assert model_line.endswith("made from pictures of unknown origin, test accuracy 1.0000")
    assert summary_line.startswith("graft: 4 pictures in 0.")
    assert "/s) with tiny:" in err


def test_bad_pictures_are_rows_and_exit_code_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")
    assert main([str(folder), "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith(f"{folder}/bad.jpg\t\t\tunsupported_media_type: the ")
    assert len(out.splitlines()) == 4
    assert err == "graft: pictures not classified: 1 of 4; the reasons are on stdout\n"


def test_a_csv_file_instead_of_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")
    table = folder.parent / "out.csv"
    assert main([str(folder), "--csv", str(table)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert (
        f"pictures not classified: 1 of 4; the reasons are in the column `error` of {table}" in err
    )
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["", "blue", "green", "red"]
    assert float(rows[3]["score"]) == pytest.approx(1 / (1 + 2 * math.exp(-255 * 0.02)), abs=1e-6)
    assert rows[3]["score"] == rows[3]["probability_red"]
    assert rows[0]["error"].startswith("unsupported_media_type: ")


def test_json_lines_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["label"] for row in rows] == ["blue", "green", "red"]


def test_a_bundle_is_found_by_its_tag(
    folder: Path,
    tiny_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GRAFT_MODEL", "overruled")
    assert main([str(folder), "--bundle", store.save(tiny_bundle)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "graft: there is no file or folder gone; give "),
        (["."], "graft: no pictures in . (searched for .jpg "),
        (["1.jpg", "--bundle", "nobody:1"], "or set --bundle to a bundle folder"),
        (["1.jpg", "--csv", "gone/out.csv"], "graft: cannot write gone/out.csv: No such file"),
        (["1.jpg", "--csv", "1.jpg"], "graft: 1.jpg would be overwritten, but it is not a table"),
        (["1.jpg", "--csv", ""], "argument --csv: the path is empty"),
        (["1.jpg", "--bundle", ""], "argument --bundle: the value is empty"),
        (["1.jpg", ""], "argument FILE_OR_DIR: the value is empty"),
    ],
)
def test_wrong_use_is_exit_code_2_and_a_message(
    tmp_path: Path,
    draw: Draw,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "1.jpg":
        Path("1.jpg").write_bytes(draw("red"))
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_an_altered_bundle_is_refused(
    folder: Path, bundle_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle_copy / "model.onnx").write_bytes(b"altered")
    assert main([str(folder), "--bundle", str(bundle_copy), "--csv", str(folder / "o.csv")]) == 2
    assert "model.onnx was altered" in capsys.readouterr().err
    assert not (folder / "o.csv").exists()


def test_an_invalid_setting_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAFT_THREADS", "many")
    assert main([str(folder)]) == 2
    assert "GRAFT_THREADS (='many')" in capsys.readouterr().err


def test_a_table_is_appended_to_redirected_stdout(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "kept.csv"
    table.write_text("yesterday\n")
    command = [sys.executable, "-m", "service.predict", "--quiet", "--csv", "/dev/stdout"]
    with table.open("a") as stdout:
        subprocess.run([*command, str(folder)], stdout=stdout, cwd=ROOT, check=False, timeout=60)
    first_line, header, *rows = table.read_text().splitlines()
    assert first_line == "yesterday"
    assert header.startswith('"path","label","score",')
    assert rows


@pytest.mark.parametrize("arguments", [[], ["x", "--csv", "y", "--json"]])
def test_invalid_options_are_refused(arguments: list[str]) -> None:
    assert main(arguments) == 2


def restore_sigint() -> None:
    """Let Ctrl+C stop the child: processes that a shell starts in the background ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_predict(*arguments: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "service.predict", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=restore_sigint,  # noqa: PLW1509 - no thread holds a lock here
    )


def block_modules(names: str, tmp_path: Path) -> dict[str, str]:
    """Environment variables that block the import of the named modules."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    log = str(tmp_path / "blocked.txt")
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}", "BLOCKED": names, "BLOCKER_LOG": log}


def test_help_imports_nothing_large(tmp_path: Path) -> None:
    variables = block_modules("numpy pydantic PIL cv2 onnxruntime bentoml starlette", tmp_path)
    process = start_predict("--help", environment=variables)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "Exit codes: 0 = all pictures were classified" in out


def test_training_is_not_imported(folder: Path, tmp_path: Path) -> None:
    variables = block_modules("tensorflow keras tf2onnx onnx sklearn plugins trainers", tmp_path)
    process = start_predict(str(folder), "--quiet", environment=variables)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_no_table(
    folder: Path, tmp_path: Path, draw: Draw, signal_number: signal.Signals
) -> None:
    picture = draw("red", "PNG", (3000, 3000))  # scoring all of them takes more than a second
    for index in range(40):
        (folder / f"{index}.png").write_bytes(picture)
    output = tmp_path / "output"
    output.mkdir()
    process = start_predict(str(folder), "--csv", str(output / "out.csv"), environment={})
    assert process.stderr is not None
    assert "tiny:" in process.stderr.readline()  # the model; the table exists before this line
    assert [file.name for file in output.iterdir()] == [f".out.csv.{process.pid}.partial"]
    process.send_signal(signal_number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines() == [f"graft: stopped; {output}/out.csv was not written"]
    assert not any(output.iterdir())


def test_a_closed_stdout_prints_no_error(folder: Path) -> None:
    process = start_predict(*[str(folder / "red.png")] * 50, "--quiet", environment={})
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), err) == (1, "")
