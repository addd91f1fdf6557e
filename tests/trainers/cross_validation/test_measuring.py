from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from trainers.cross_validation import measuring
from trainers.cross_validation.fold_datasets import make_folds
from trainers.cross_validation.measuring import cross_validate
from trainers.phases.context import TrainingContext

Start = Callable[..., TrainingContext]


def stop(*_: object) -> NoReturn:
    raise SystemExit


def test_without_folds_there_are_no_figures(tmp_path: Path) -> None:
    assert cross_validate(None, (), tmp_path) is None  # type: ignore[arg-type]


@pytest.mark.slow
def test_folds_are_resumed_and_measured_and_leave_nothing_behind(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"strategy": "fine-tune", "fine_tune_epochs": 1, "tensorboard": tmp_path / "board"}
    context = start(red=12, blue=12, **options)
    folds = make_folds(context.dataset, 2, 0)
    weights = [array.copy() for array in context.network.body.get_weights()]
    (tmp_path / "work").mkdir(exist_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "predict_split", stop)  # after the fine-tuning of the first fold
        with pytest.raises(SystemExit):
            cross_validate(context, folds, tmp_path / "work")
    checkpoints = context.config.checkpoint.parent
    files = [path for path in checkpoints.rglob("*") if path.is_file()]
    assert files == [checkpoints / "fold-1-of-2" / "fine-tuning.npz"]

    caplog.set_level(logging.INFO, "graft")
    resumed = replace(context, config=context.config.model_copy(update={"resume": True}))
    figures = cross_validate(resumed, folds, tmp_path / "work")
    assert caplog.text.count("resuming after epoch 1") == 1
    assert figures is not None
    assert (figures["k"], figures["n"], figures["not_tested"]) == (2, 24, 0)
    for fold in figures["folds"]:
        assert fold["n"] + fold["train"] + fold["validation"] == 24
        assert fold["accuracy"] > 0.9  # red and blue pictures
        assert fold["phase"] in {"head", "fine-tuning"}
    assert all(map(np.array_equal, weights, context.network.body.get_weights()))
    assert [path for path in checkpoints.rglob("*") if path.is_file()] == []
    assert not (tmp_path / "board").exists()
