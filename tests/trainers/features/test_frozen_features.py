from __future__ import annotations

import hashlib

import keras
import numpy as np
import pytest

from plugins.base import Backbone
from plugins.registry import resolve
from trainers.cache.array_cache import Cache
from trainers.cache.record_store import Records
from trainers.features import frozen_features
from trainers.features.augmentation import TRAINING_VIEWS, make_view
from trainers.features.frozen_features import AugmentedPictures, extract
from trainers.features.frozen_layers import FrozenLayers

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
KEYS = tuple(hashlib.sha256(image.tobytes()).digest() for image in IMAGES)
PICTURES = AugmentedPictures(lambda: Records(IMAGES, np.arange(5)), KEYS)


def select(rows: list[int]) -> AugmentedPictures:
    return AugmentedPictures(
        lambda: Records(IMAGES, np.array(rows)), tuple(KEYS[row] for row in rows)
    )


@pytest.fixture
def tiny() -> tuple[Backbone, keras.Model]:
    keras.utils.set_random_seed(1)
    backbone = resolve("tiny")
    return backbone, backbone.load("none")


@pytest.mark.parametrize(
    ("layers", "last_layer"),
    [
        (1, "add"),  # conv3 trains: all layers before it are frozen, and only the sum leads to it
        (2, "relu1"),  # conv2 trains: its shortcut also starts at relu1
    ],
)
def test_the_frozen_part_is_as_large_as_possible(
    tiny: tuple[Backbone, keras.Model], layers: int, last_layer: str
) -> None:
    backbone, model = tiny
    backbone.fine_tune(model, layers)
    parts = frozen_features.split_off_frozen(model, records=5)
    assert parts is not None
    frozen, trained = parts
    assert frozen.layers[-1].name.startswith(last_layer)
    assert frozen.trainable_weights == []
    assert len(trained.trainable_weights) == len(model.trainable_weights)
    expected = model(IMAGES.astype(np.float32), training=False)
    actual = trained(frozen(IMAGES.astype(np.float32), training=False), training=False)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_nothing_is_split_off_if_the_first_layer_trains(tiny: tuple[Backbone, keras.Model]) -> None:
    backbone, model = tiny
    backbone.fine_tune(model, 3)
    assert frozen_features.split_off_frozen(model, records=5) is None


def test_nothing_is_split_off_if_the_feature_maps_would_be_too_large(
    tiny: tuple[Backbone, keras.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, model = tiny
    backbone.fine_tune(model, 1)
    monkeypatch.setattr(frozen_features, "MAX_FEATURE_MAP_BYTES", 5 * 8 * 8 * 8 * 4)
    assert frozen_features.split_off_frozen(model, records=5) is not None
    assert frozen_features.split_off_frozen(model, records=6) is None


def test_training_the_second_part_trains_the_model(tiny: tuple[Backbone, keras.Model]) -> None:
    backbone, model = tiny
    backbone.fine_tune(model, 1)
    parts = frozen_features.split_off_frozen(model, records=5)
    assert parts is not None
    parts[1].trainable_weights[0].assign_add(parts[1].trainable_weights[0])
    expected = model(IMAGES.astype(np.float32), training=False)
    actual = parts[1](parts[0](IMAGES.astype(np.float32), training=False), training=False)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_features_are_the_models_outputs_for_each_view(
    tiny: tuple[Backbone, keras.Model], cache: Cache
) -> None:
    _, model = tiny
    features = extract(
        "maps",
        lambda: FrozenLayers(model),
        "tiny",
        select([3, 0, 4]),
        len(TRAINING_VIEWS["horizontal"]),
        cache,
    )
    assert len(features) == 3
    assert features.read_all().shape == (3, 4, 4, 4, 12)
    for number in TRAINING_VIEWS["horizontal"]:
        images = np.stack([make_view(IMAGES[row], number, KEYS[row]) for row in (3, 0, 4)])
        expected = model(images.astype(np.float32), training=False)
        np.testing.assert_allclose(features.read_all()[:, number], expected, atol=1e-5)
    rows, views = np.array([2, 0]), np.array([1, 3])
    np.testing.assert_array_equal(features.read(rows, views), features.read_all()[rows, views])


@pytest.mark.slow
def test_features_do_not_depend_on_the_content_of_the_cache(
    tiny: tuple[Backbone, keras.Model], cache: Cache
) -> None:
    """They are equal bit for bit, because each picture is extracted alone, not in a batch."""
    _, model = tiny
    at_once = extract("maps", lambda: FrozenLayers(model), "one", PICTURES, 2, cache).read_all()
    for rows in ([4], [1, 4], [0, 1, 2, 3, 4]):
        in_steps = extract(
            "maps", lambda: FrozenLayers(model), "two", select(rows), 2, cache
        ).read_all()
    np.testing.assert_array_equal(in_steps, at_once)


@pytest.mark.slow
def test_the_extractor_is_not_loaded_if_the_cache_has_everything(
    tiny: tuple[Backbone, keras.Model], cache: Cache
) -> None:
    def fail() -> FrozenLayers:
        raise AssertionError("loaded")

    first = extract("maps", lambda: FrozenLayers(tiny[1]), "tiny", PICTURES, 2, cache)
    second = extract("maps", fail, "tiny", select([3, 1]), 1, cache)
    np.testing.assert_array_equal(second.read_all()[:, 0], first.read_all()[[3, 1], 0])


def test_pictures_are_read_in_the_requested_view() -> None:
    batch = select([2, 1]).read(np.array([0, 1, 0]), np.array([0, 1, 3]))
    np.testing.assert_array_equal(batch[0], IMAGES[2])
    np.testing.assert_array_equal(batch[1], IMAGES[1][:, ::-1])
    np.testing.assert_array_equal(batch[2], make_view(IMAGES[2], 3, KEYS[2]))
