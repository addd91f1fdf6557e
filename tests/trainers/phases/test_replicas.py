"""Several devices train as one device does: tested with two logical CPUs in another process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers.cache.record_store import Records
from trainers.features.batches import Batches
from trainers.features.frozen_features import Features
from trainers.phases import replicas

ROOT = Path(__file__).parents[3]

FIT = f"""
import json, sys
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
import keras, tensorflow as tf
from trainers.phases import replicas
from trainers.features.batches import Batches
from trainers.features.frozen_features import Features
from trainers.cache.record_store import Records

logical = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)

def fit(strategy, dropout=0.0):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(37, 4)).astype("f4")
    features = Features(Records(inputs, np.arange(37)), 1)
    labels = (inputs[:, 0] > 0).astype(int)
    batches = Batches(features, labels, np.array([1, 2], "f4"), 8, 0, 0.3)
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(2, "softmax", kernel_regularizer=keras.regularizers.L2(0.1))
    entry = keras.Input((4,))
    model = keras.Model(entry, dense(keras.layers.Dropout(dropout)(entry)))
    with strategy.scope():
        learner = replicas.replicate(model)
        learner.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy")
    assert (learner is model) == (strategy.num_replicas_in_sync == 1)
    history = learner.fit(
        replicas.distribute(batches, strategy), epochs=3, shuffle=False, verbose=0,
        validation_data=replicas.distribute(batches, strategy),
    ).history
    weights = [float(value) for array in learner.get_weights()[-2:] for value in array.ravel()]
    return {{"weights": weights, "losses": history["val_loss"]}}

both = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
results = {{"one": fit(tf.distribute.get_strategy()), "two": fit(both), "dropout": fit(both, 0.5)}}
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def fitted() -> dict[str, dict[str, list[float]]]:
    """Weights and losses after training on the same pictures, with one device and with two."""
    command = [sys.executable, "-c", FIT]
    completed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert completed.returncode == 0, completed.stderr
    return dict(json.loads(completed.stdout.splitlines()[-1]))


@pytest.mark.long
def test_two_devices_reach_the_weights_of_one(fitted: dict[str, dict[str, list[float]]]) -> None:
    """37 pictures do not divide evenly between two devices, and their weights differ."""
    np.testing.assert_allclose(fitted["two"]["weights"], fitted["one"]["weights"], atol=1e-5)


@pytest.mark.long
def test_dropout_works_on_two_devices(fitted: dict[str, dict[str, list[float]]]) -> None:
    losses = fitted["dropout"]["losses"]
    assert losses[-1] < losses[0]


RESUME = f"""
import sys
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
import keras, tensorflow as tf
from trainers.phases import training_loop
from trainers.features.batches import Batches
from trainers.phases.checkpoint import Checkpoint
from trainers.resources.time_budget import UNLIMITED
from trainers.features.frozen_features import Features
from trainers.progress import Progress
from trainers.cache.record_store import Records
from trainers.phases.plan import Plan
from trainers.reporting.tensorboard import Board

logical = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
context = SimpleNamespace(
    config=SimpleNamespace(precision="float32"),
    strategy=strategy,
    progress=Progress(is_quiet=True),
    time_budget=UNLIMITED,
    board=Board(None),
)
rng = np.random.default_rng(0)
inputs = rng.normal(size=(24, 4)).astype("f4")
labels = (inputs[:, 0] > 0).astype(int)
source = Features(Records(inputs, np.arange(24)), 1)

def fit(name, resume=False, kill_at=9):
    keras.utils.set_random_seed(0)
    entry = keras.Input((4,))
    normal = keras.layers.Normalization()
    hidden = keras.layers.Dropout(0.3)(normal(entry))
    model = keras.Model(entry, keras.layers.Dense(2, "softmax")(hidden))
    normal.adapt(3 * inputs + 1)
    batches = [Batches(source, labels, np.ones(2, "f4"), 8, seed) for seed in (0, None)]
    start_epoch = batches[0].start_epoch
    def begin(epoch):
        if epoch == kill_at:
            raise KeyboardInterrupt
        start_epoch(epoch)
    batches[0].start_epoch = begin
    checkpoint = Checkpoint(Path(sys.argv[1]) / name, "a")
    plan = checkpoint.load() if resume else Plan(3, 1, 0.1, ())
    training_loop.fit(model, *batches, plan, checkpoint, context)
    return model

uninterrupted = fit("whole")
try:
    fit("part", kill_at=2)
except KeyboardInterrupt:
    pass
resumed = fit("part", resume=True)
for actual, expected in zip(resumed.weights, uninterrupted.weights, strict=True):
    np.testing.assert_allclose(actual, expected, atol=1e-6)
np.testing.assert_allclose(resumed(inputs), uninterrupted(inputs), atol=1e-6)
print("equal")
"""


@pytest.mark.long
def test_two_devices_resume_from_a_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RESUME, str(tmp_path)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert completed.stdout.splitlines()[-1:] == ["equal"], completed.stderr


def batches(count: int) -> Batches:
    inputs = np.arange(count, dtype=np.float32)[:, None]
    features = Features(Records(inputs, np.arange(count)), 1)
    return Batches(features, np.zeros(count, np.int64), np.full(2, 3, np.float32), 4)


def test_the_last_batch_is_filled_up_with_weight_0() -> None:
    even = replicas.EvenBatches(batches(5), 3)
    assert len(even) == 2
    inputs, targets, weights = even[1]
    assert inputs.shape == (3, 1)
    assert targets.shape == (3, 2)
    np.testing.assert_allclose(
        weights, [9, 0, 0]
    )  # the mean over three rows is 3, the weight of the only picture
    inputs, _, weights = even[0]
    np.testing.assert_array_equal(inputs[:, 0], [0, 1, 2, 3, 0, 1])
    np.testing.assert_allclose(weights, [4.5] * 4 + [0, 0])


def test_even_batches_are_unchanged() -> None:
    source = batches(8)
    for expected, filled in zip(source[1], replicas.EvenBatches(source, 2)[1], strict=True):
        np.testing.assert_array_equal(expected, filled)


def test_one_device_trains_the_model_itself() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    source = batches(5)
    strategy = tf.distribute.get_strategy()
    with strategy.scope():
        assert replicas.replicate(model) is model
    assert replicas.distribute(source, strategy) is source
