"""Frozen layers on devices and within a time budget."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers.features.frozen_layers import (
    CALLS_PER_DEVICE,
    DevicePool,
    FeatureExtractor,
    FrozenLayers,
    TimeLimitedExtractor,
)
from trainers.resources.out_of_memory import MemoryShortageError
from trainers.resources.time_budget import TimeBudget, TimeBudgetSpentError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


class Doubling(FeatureExtractor):
    shape = (3,)

    def __call__(self, images: Any) -> Any:
        return images * 2


def test_an_extractor_stops_when_the_time_is_up() -> None:
    now = [100.0]
    extractor = TimeLimitedExtractor(Doubling(), TimeBudget(100, 10, now=lambda: now[0]))
    assert extractor.shape == (3,)
    np.testing.assert_array_equal(extractor(np.ones(2, np.uint8)), [2, 2])
    now[0] = 111
    with pytest.raises(TimeBudgetSpentError, match="time budget is spent"):
        extractor(np.ones(2, np.uint8))


class MemoryHungry(keras.layers.Layer):
    """Allocates terabytes for each picture beyond `max_pictures`."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        count = tf.maximum(tf.shape(images, tf.int64)[0] - self.max_pictures, 0) * 2**42
        return images + tf.reduce_sum(tf.random.uniform([count]))

    max_pictures = 4


def test_a_device_that_runs_out_of_memory_gets_smaller_batches() -> None:
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(MemoryHungry()(images)))
    layers = FrozenLayers(model, ["/device:CPU:0"])
    np.testing.assert_allclose(layers(IMAGES), IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    assert layers._extract.batch_size <= 4


def test_a_picture_too_large_for_a_device_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryHungry, "max_pictures", 0)
    images = keras.Input((32, 32, 3))
    layers = FrozenLayers(keras.Model(images, MemoryHungry()(images)), ["/device:CPU:0"])
    with pytest.raises(
        MemoryShortageError, match=r"extracting features: the memory .*for one picture"
    ):
        layers(IMAGES[:1])  # TensorFlow waits 10 s for memory, at each batch size


def test_callers_wait_for_a_device_that_is_busy() -> None:
    lock, active, max_active = threading.Lock(), 0, 0
    barrier = threading.Barrier(CALLS_PER_DEVICE)  # no call continues before this many are active

    def count(images: tf.Tensor) -> list[tf.Tensor]:
        nonlocal active, max_active
        with lock:
            active += 1
            max_active = max(max_active, active)
        barrier.wait(60)
        time.sleep(0.05)  # time for one more call, if it were admitted
        with lock:
            active -= 1
        return [images]

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.uint8)], autograph=False)
    def function(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(images, tf.float32)

    pool = DevicePool(function, ["/device:CPU:0"])
    pool._function = count  # without TensorFlow's threads, which would hide the number of calls
    with ThreadPoolExecutor(6) as threads:
        assert len(list(threads.map(pool, [np.ones((3, 2), np.uint8)] * 6))) == 6
    assert max_active == CALLS_PER_DEVICE


EXTRACT_ON_TWO_DEVICES = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parents[3])!r}, {str(Path(__file__).parents[2])!r}]
import conftest  # registers the tiny backbone
import numpy as np, tensorflow as tf
logical = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
from plugins.registry import resolve
from trainers.features.frozen_layers import FrozenLayers
model = resolve("tiny").load("none")
images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
layers = FrozenLayers(model, [device.name for device in tf.config.list_logical_devices("CPU")])
inner, places = layers._extract._function._function, []
def spy(images):
    results = inner(images)
    places.append(results[0].device[-5:])
    return results
layers._extract._function._function = spy
expected = np.asarray(model(images.astype("f4"), training=False))
for _ in range(2):
    np.testing.assert_allclose(layers(images), expected, atol=1e-5)
print(*places)
"""


@pytest.mark.slow
def test_all_devices_extract_with_weights_of_their_own() -> None:
    completed = subprocess.run(
        [sys.executable, "-c", EXTRACT_ON_TWO_DEVICES],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.split() == ["CPU:0", "CPU:1"]
