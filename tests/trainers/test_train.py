"""The function trainers.train, which does the work of the command trainers.run."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from service import load
from service.errors import GraftError
from trainers import train
from trainers.cache import code_identity
from trainers.config import ConfigError
from trainers.dataset.folders.errors import DataError
from trainers.progress import log

DrawFolder = Callable[..., Path]
ROOT = Path(__file__).parents[2]
QUICK = {"weights": "none", "strategy": "features"}


@pytest.fixture
def folder(tmp_path: Path, draw_folder: DrawFolder) -> Path:
    return draw_folder(tmp_path / "pictures", red=14, green=14, blue=14)


@pytest.fixture(autouse=True)
def _fresh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a log without handlers, as in a new process."""
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "propagate", True)


@pytest.mark.slow
def test_a_result_has_metrics_report_and_bundle_and_nothing_is_printed(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = train(data=folder, plugin="tiny", output=tmp_path / "out", name="quiet", **QUICK)
    assert capfd.readouterr() == ("", "")
    assert result.bundle.parent == tmp_path / "out"
    assert result.report == result.bundle / "report.html"
    assert result.report.is_file()
    assert result.metrics == json.loads((result.bundle / "metrics.json").read_text())
    assert result.metrics["test"]["n"] == 5
    config = json.loads((result.bundle / "config.json").read_text())
    assert (config["strategy"], config["data"]) == ("features", str(folder))
    assert load(result.model).predict(folder / "red/0.png") == load(result.bundle).predict(
        folder / "red/0.png"
    )


@pytest.mark.slow
def test_verbose_shows_the_log(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train("tiny", folder, verbose=True, output=tmp_path / "out", name="loud", **QUICK)
    output, log_lines = capfd.readouterr()
    assert output == ""
    assert f"training on the pictures in {folder}" in log_lines
    assert "test accuracy" in log_lines


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"plugin": "tinny"}, GraftError, "Did you mean `tiny`"),
        ({"epoch": 3}, ConfigError, "did you mean `fine_tune_epochs`"),
        ({"batch_size": 0}, ConfigError, r"--batch-size \(=0\)"),
        ({"data": "nowhere"}, DataError, "no folder nowhere"),
        (
            {"weights": "nowhere.h5", "data": "demo"},
            GraftError,
            "nowhere.h5 does not exist",
        ),
    ],
)
def test_wrong_options_raise_the_errors_of_the_command(
    options: dict[str, object], error: type[GraftError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        train(**{"plugin": "tiny", "output": tmp_path / "out", **options})  # type: ignore[arg-type]


def test_ctrl_c_is_a_keyboard_interrupt_and_leaves_nothing_incomplete(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupt(logging.Handler):
        """Presses Ctrl-C once, shortly after the head is solved."""

        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("linear head"):
                log.removeHandler(self)
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    handler, level = Interrupt(), log.level
    previous_handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    options = {**QUICK, "strategy": "fine-tune", "fine_tune_epochs": 1000}
    try:
        with pytest.raises(KeyboardInterrupt):
            train("tiny", folder, output=tmp_path / "out", **options)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        signal.signal(signal.SIGINT, previous_handler)
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {".graft.lock", "checkpoints"}


def test_importing_trainers_imports_none_of_its_modules() -> None:
    code = "import trainers, sys; print([m for m in sys.modules if m.startswith('trainers.')])"
    command = [sys.executable, "-c", code]
    completed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert completed.stdout == "[]\n"


@pytest.mark.parametrize("package", ["trainers", "service"])
def test_the_packages_import_only_importlib(package: str) -> None:
    """With other imports in `__init__.py`, cached features would depend on the whole program."""
    source = (ROOT / package / "__init__.py").read_bytes()
    imports = set(code_identity._imports(source, package, is_package=True))
    assert imports == {"importlib", "importlib.import_module"}
