from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from plugins.base import leaf_layers
from plugins.registry import resolve
from trainers import data, phases, scanning, splitting
from trainers.config import TrainingConfig
from trainers.phases import Phase, Run, class_weights
from trainers.progress import Progress

DrawFolder = Callable[..., Path]
SILENT = Progress(is_quiet=True)


@pytest.fixture
def start(tmp_path: Path, draw_folder: DrawFolder) -> Callable[..., tuple[keras.Model, Run]]:
    """A loaded tiny backbone and a run on drawn pictures: start(epochs=3, red=9, ...)."""

    def start(red: int = 12, blue: int = 12, **options: object) -> tuple[keras.Model, Run]:
        keras.utils.set_random_seed(0)
        folder = draw_folder(tmp_path / "pictures", red=red, blue=blue)
        (tmp_path / "work").mkdir()
        dataset = splitting.split(
            data.read(scanning.scan(folder), 32, tmp_path / "work", SILENT), 0
        )
        config = TrainingConfig(plugin="tiny", output=tmp_path / "out", batch_size=8, **options)
        return resolve("tiny").load("none"), Run.of(config, dataset, tmp_path / "work", SILENT)

    return start


Start = Callable[..., tuple[keras.Model, Run]]


def test_the_head_learns_and_the_backbone_stays(start: Start) -> None:
    body, run = start(epochs=40, learning_rate=0.05)
    before = body.get_weights()
    classifier, head = phases.train_head(resolve("tiny"), body, run)
    assert head.validation_accuracy == 1.0
    assert head.validation_loss < 0.5 * np.log(2)
    assert all(np.array_equal(a, b) for a, b in zip(before, body.get_weights(), strict=True))
    assert set(head.history[0]) >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    images = run.validation.images[run.validation.rows].astype(np.float32)
    answers = np.asarray(classifier.answers()(images, training=False))
    assert (answers.argmax(axis=1) == run.validation_labels).all()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_fine_tuning_moves_the_last_layers_and_no_statistics(start: Start, layers: int) -> None:
    body, run = start(epochs=3, fine_tune_epochs=2, fine_tune_layers=layers)
    classifier, _ = phases.train_head(resolve("tiny"), body, run)
    kernels = {layer.name: layer.get_weights() for layer in leaf_layers(body) if layer.weights}
    phases.fine_tune(classifier, run)
    changed = [
        name
        for name, weights in kernels.items()
        if not all(map(np.array_equal, weights, body.get_layer(name).get_weights()))
    ]
    assert changed == [f"conv{number}" for number in range(4 - layers, 4)]


def test_statistics_that_move_are_noticed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    body, run = start(epochs=1, fine_tune_epochs=1, fine_tune_layers=1)
    backbone = resolve("tiny")

    def careless(model: keras.Model, layers: int) -> list[keras.layers.Layer]:
        model.trainable = True  # as tutorials do, BatchNormalization and all
        return list(model.layers)

    monkeypatch.setattr(backbone, "fine_tune", careless)
    classifier, _ = phases.train_head(backbone, body, run)
    with pytest.raises(AssertionError, match=r"moved BatchNormalization statistics: .*norm1"):
        phases.fine_tune(classifier, run)


@pytest.mark.parametrize(("tuned_loss", "shipped"), [(0.2, "fine-tuning"), (0.4, "head")])
def test_the_phase_with_the_lower_validation_loss_ships(
    start: Start, monkeypatch: pytest.MonkeyPatch, tuned_loss: float, shipped: str
) -> None:
    body, run = start(epochs=1, fine_tune_epochs=1)
    train_head = phases.train_head

    def head_at_03(*arguments: object) -> tuple[object, Phase]:
        classifier, _ = train_head(*arguments)  # type: ignore[arg-type]
        return classifier, Phase("head", 0.3, 0.8, [])

    def move_everything(classifier: phases.Classifier, run: Run) -> Phase:
        classifier.set_weights([weight + 1 for weight in classifier.weights()])
        return Phase("fine-tuning", tuned_loss, 0.9, [])

    before = body.get_weights()
    monkeypatch.setattr(phases, "train_head", head_at_03)
    monkeypatch.setattr(phases, "fine_tune", move_everything)
    trained = phases.train(resolve("tiny"), body, run)
    assert trained.decision.startswith(f"{shipped} (validation loss")
    moved = not np.array_equal(before[0], trained.classifier.weights()[0])
    assert moved == (shipped == "fine-tuning")


def test_fine_tuning_can_be_switched_off(start: Start) -> None:
    body, run = start(epochs=1, fine_tune_epochs=0)
    trained = phases.train(resolve("tiny"), body, run)
    assert [phase.name for phase in trained.phases] == ["head"]
    assert "switched off" in trained.decision


def test_checkpoints_are_kept_beside_the_bundles(start: Start) -> None:
    body, run = start(epochs=1, fine_tune_epochs=1)
    phases.train(resolve("tiny"), body, run)
    files = {path.name for path in (run.config.output / "checkpoints/classifier").iterdir()}
    assert files == {"head.weights.h5", "fine-tuning.weights.h5"}


def test_two_pictures_a_class_are_enough_to_run(start: Start) -> None:
    body, run = start(red=2, blue=2, epochs=1, fine_tune_epochs=0)
    assert len(run.train) == len(run.validation) == 2
    assert phases.train(resolve("tiny"), body, run).phases


def test_uneven_classes_are_weighted_to_have_the_same_say() -> None:
    labels = np.array([0] * 6 + [1] * 2)
    weights = class_weights(labels, 2)
    assert weights == {0: 8 / 12, 1: 2.0}
    assert class_weights(np.array([0, 0, 1, 1]), 2) is None
