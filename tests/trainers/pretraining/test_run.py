"""A small pretraining run: it continues after an interruption, and its weights can be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from plugins.registry import resolve
from trainers.pretraining import run
from trainers.pretraining.config import PretrainingConfig
from trainers.pretraining.drawn_dataset import draw_dataset
from trainers.pretraining.run import main, pretrain
from trainers.progress import Progress

CONFIG = PretrainingConfig(classes=4, per_class=20, epochs=2, batch_size=16)
QUIET = Progress(is_quiet=True)


def load_weights(path: Path) -> list[Any]:
    weights: list[Any] = resolve("pocket").load(str(path), 32).get_weights()
    return weights


@pytest.mark.long
def test_an_interrupted_run_reaches_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load_weights(pretrain(CONFIG, tmp_path / "whole", QUIET))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run.log, "info", lambda text, *_: interrupt() if "epoch" in text else None)
        with pytest.raises(KeyboardInterrupt):
            pretrain(CONFIG, tmp_path / "stopped", QUIET)
    assert not (tmp_path / "stopped" / run.WEIGHTS).exists()
    iterations = keras.saving.load_model(tmp_path / "stopped/checkpoint.keras").optimizer.iterations
    assert int(iterations) == CONFIG.steps
    weights = load_weights(pretrain(CONFIG, tmp_path / "stopped", QUIET))
    for expected_weight, weight in zip(expected, weights, strict=True):
        np.testing.assert_allclose(expected_weight, weight, atol=2e-3)
    files = [tmp_path / name / run.WEIGHTS for name in ("whole", "stopped")]
    assert files[0].stat().st_size == files[1].stat().st_size


@pytest.mark.long
def test_the_command_writes_half_precision_and_refuses_other_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = ["--classes", "2", "--per-class", "20", "--batch-size", "16", "--quiet"]
    arguments = ["--output", str(tmp_path / "run"), *numbers]
    assert main([*arguments, "--epochs", "1"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.stat().st_size < 2_000_000
    assert main([*arguments, "--epochs", "3"]) == 2
    assert "run with other options" in capsys.readouterr().err


def test_weights_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = run.compile_model(CONFIG)
    norm = model.get_layer("top_norm")
    norm.set_weights([array + 1e5 for array in norm.get_weights()])
    with pytest.raises(run.GraftError, match="top_norm has a weight of 1"):
        run.save(model, tmp_path / run.WEIGHTS)
    assert not (tmp_path / run.WEIGHTS).exists()


def test_an_output_that_is_a_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["--output", str(tmp_path / "file")]) == 2
    assert "file: file exists; choose another path" in capsys.readouterr().err


def test_two_runs_in_one_folder_exclude_each_other(tmp_path: Path) -> None:
    with (
        run.file_lock(tmp_path / "lock", wait=False),
        pytest.raises(run.GraftError, match="another process is using"),
    ):
        pretrain(CONFIG, tmp_path, QUIET)


def test_a_damaged_checkpoint_is_reported(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.keras").write_bytes(b"junk")
    with pytest.raises(run.GraftError, match=r"checkpoint\.keras is damaged; remove it"):
        run.train(CONFIG, draw_dataset(4, 20, 0, tmp_path, QUIET), tmp_path, QUIET)
