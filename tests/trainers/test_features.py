from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from plugins.base import Backbone
from plugins.registry import resolve
from trainers import features
from trainers.features import Pictures
from trainers.progress import Progress

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
SILENT = Progress(is_quiet=True)


@pytest.fixture
def tiny() -> tuple[Backbone, keras.Model]:
    keras.utils.set_random_seed(1)
    backbone = resolve("tiny")
    return backbone, backbone.load("none")


@pytest.mark.parametrize(
    ("layers", "waist"),
    [
        (1, "add"),  # conv3 trains: all before it is frozen, and the sum carries it alone
        (2, "relu1"),  # conv2 trains: its shortcut also starts at relu1
    ],
)
def test_the_cut_is_as_late_as_it_can_be(
    tiny: tuple[Backbone, keras.Model], layers: int, waist: str
) -> None:
    backbone, model = tiny
    backbone.fine_tune(model, layers)
    parts = features.cut(model, pictures=5)
    assert parts is not None
    frozen, trained = parts
    assert frozen.layers[-1].name.startswith(waist)
    assert frozen.trainable_weights == []
    assert len(trained.trainable_weights) == len(model.trainable_weights)
    whole = model(IMAGES.astype(np.float32), training=False)
    halves = trained(frozen(IMAGES.astype(np.float32), training=False), training=False)
    np.testing.assert_allclose(halves, whole, atol=1e-5)


def test_nothing_is_cut_where_the_first_layer_trains(tiny: tuple[Backbone, keras.Model]) -> None:
    backbone, model = tiny
    backbone.fine_tune(model, 3)
    assert features.cut(model, pictures=5) is None


def test_nothing_is_cut_where_the_features_would_not_fit(
    tiny: tuple[Backbone, keras.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, model = tiny
    backbone.fine_tune(model, 1)
    size = 5 * features.VIEWS * 8 * 8 * 8 * 4
    monkeypatch.setattr(features, "MAX_CACHE_BYTES", size)
    assert features.cut(model, pictures=5) is not None
    monkeypatch.setattr(features, "MAX_CACHE_BYTES", size - 1)
    assert features.cut(model, pictures=5) is None


def test_training_a_part_trains_the_whole(tiny: tuple[Backbone, keras.Model]) -> None:
    backbone, model = tiny
    backbone.fine_tune(model, 1)
    parts = features.cut(model, pictures=5)
    assert parts is not None
    parts[1].trainable_weights[0].assign_add(parts[1].trainable_weights[0])
    whole = model(IMAGES.astype(np.float32), training=False)
    halves = parts[1](parts[0](IMAGES.astype(np.float32), training=False), training=False)
    np.testing.assert_allclose(halves, whole, atol=1e-5)


def test_features_are_the_models_outputs_for_each_view(
    tiny: tuple[Backbone, keras.Model], tmp_path: Path
) -> None:
    _, model = tiny
    rows = np.array([3, 0, 4])
    found = features.compute(model, Pictures(IMAGES, rows), 2, tmp_path / "features.f32", SILENT)
    assert found.values.shape == (3, 2, 4, 4, 12)
    for view, images in enumerate((IMAGES[rows], IMAGES[rows][:, :, ::-1])):
        expected = model(images.astype(np.float32), training=False)
        np.testing.assert_allclose(found.values[:, view], expected, atol=1e-5)


def test_pictures_are_mirrored_where_the_view_says_so() -> None:
    pictures = Pictures(IMAGES, np.array([2, 1]))
    batch = pictures.read(np.array([0, 1, 0]), np.array([0, 1, 1]))
    np.testing.assert_array_equal(batch[0], IMAGES[2])
    np.testing.assert_array_equal(batch[1], IMAGES[1][:, ::-1])
    np.testing.assert_array_equal(batch[2], IMAGES[2][:, ::-1])
