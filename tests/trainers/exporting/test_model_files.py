from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from plugins.registry import resolve
from trainers.exporting.formats import Source
from trainers.exporting.model_files import export_model
from trainers.heads.head import build_head
from trainers.model.classifier import Classifier, build_embedder
from trainers.phases.context import TrainingContext
from trainers.progress import Progress

Start = Callable[..., TrainingContext]
RNG = np.random.default_rng(0)
SILENT = Progress(is_quiet=True)


@pytest.fixture(scope="module")
def source() -> Source:
    keras.utils.set_random_seed(1)
    backbone = resolve("tiny")
    body = backbone.load("none")
    head = build_head(np.ones(12, np.float32), np.zeros(12, np.float32), classes=2)
    head.set_weights([RNG.normal(size=weight.shape) for weight in head.get_weights()])
    return Source(Classifier(backbone, body, build_embedder(body), head, ""))


def test_all_files_of_the_model_are_written_and_compared(
    source: Source, start: Start, tmp_path: Path
) -> None:
    dataset = start().dataset
    parity = export_model(source, ("keras",), dataset, tmp_path, SILENT)
    names = ("heat_maps.onnx.part", "labels.txt", "model.keras", "model.onnx", "saved_model")
    assert all((tmp_path / name).exists() for name in names)
    assert (tmp_path / "labels.txt").read_text() == "blue\nred\n"
    assert set(parity["max_difference"]) == {"onnx", "saved_model", "keras"}
    assert parity["heat_maps"]["difference"] < 1e-4


def test_golden_answers_are_those_of_keras_for_a_test_picture_of_each_class(
    source: Source, start: Start, tmp_path: Path
) -> None:
    dataset = start().dataset
    export_model(source, (), dataset, tmp_path, SILENT)
    assert not (tmp_path / "labels.txt").exists()
    answers = json.loads((tmp_path / "golden/answers.json").read_text())
    rows = dataset.rows("test")
    _, first = np.unique(dataset.labels[rows], return_index=True)
    expected = source.predict(dataset.images[rows[first]])
    np.testing.assert_allclose(list(answers.values()), expected, atol=1e-6)
    assert (tmp_path / "golden/1.png").read_bytes() == dataset.read_picture(rows[first[1]])


def test_a_backbone_without_regions_has_no_heat_maps(
    source: Source, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = type(source.classifier.backbone)
    monkeypatch.setattr(backbone, "whole_picture_channels", lambda *_: 12)
    parity = export_model(source, (), start().dataset, tmp_path, SILENT)
    assert "heat_maps" not in parity
    assert not (tmp_path / "heat_maps.onnx.part").exists()
