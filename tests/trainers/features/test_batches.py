from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.features.batches import Batches, global_batch_size, to_tf_dataset

EVEN = np.ones(10, np.float32)


class Echo:
    """Inputs that contain the requested row and view."""

    views = 2

    def __len__(self) -> int:
        return 10

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.stack([rows, views], axis=1)


def read_epoch(batches: Batches, number: int = 0) -> tuple[list[int], list[int], list[int]]:
    batches.start_epoch(number)
    rows, views, labels = [], [], []
    for index in range(len(batches)):
        inputs, targets, _ = batches[index]
        rows += inputs[:, 0].astype(int).tolist()
        views += inputs[:, 1].astype(int).tolist()
        labels += targets.argmax(axis=1).tolist()
    return rows, views, labels


def test_an_epoch_has_every_picture_once_with_its_label() -> None:
    batches = Batches(Echo(), np.arange(10)[::-1], EVEN, batch_size=4, seed=1)
    assert len(batches) == 3
    for number in range(3):
        rows, _, labels = read_epoch(batches, number)
        assert sorted(rows) == list(range(10))
        assert labels == [9 - row for row in rows]


def test_order_and_views_change_from_epoch_to_epoch_and_follow_the_seed() -> None:
    first, same, other = (Batches(Echo(), np.arange(10), EVEN, 4, seed) for seed in (1, 1, 2))
    epochs = [read_epoch(first, 0), read_epoch(first, 1)]
    assert epochs[0][0] != epochs[1][0]
    assert epochs[0][1] != epochs[1][1]
    assert [read_epoch(same, 1), read_epoch(same, 0)] == epochs[::-1]
    assert read_epoch(other) != epochs[0]
    assert set(epochs[0][1] + epochs[1][1]) == {0, 1}


def test_without_a_seed_pictures_come_in_order_and_unmirrored() -> None:
    batches = Batches(Echo(), np.arange(10), EVEN, batch_size=4)
    for number in range(2):
        assert read_epoch(batches, number) == (list(range(10)), [0] * 10, list(range(10)))


def test_mixup_blends_inputs_and_targets_alike() -> None:
    batches = Batches(Echo(), np.arange(10), EVEN, batch_size=10, seed=1, mixup=0.3)
    inputs, targets, _ = batches[0]
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    blended = targets.max(axis=1) < 0.999
    assert blended.any()
    rows = targets @ np.arange(10)  # a picture's label is its row, and so is its first input
    np.testing.assert_allclose(inputs[:, 0], rows, rtol=1e-5)


def test_pictures_for_validation_are_never_blended() -> None:
    _, targets, _ = Batches(Echo(), np.arange(10), EVEN, batch_size=10, mixup=0.3)[0]
    np.testing.assert_array_equal(targets, np.eye(10))


def test_inputs_and_targets_are_floats() -> None:
    inputs, targets, _ = Batches(Echo(), np.arange(10), EVEN, batch_size=4)[0]
    assert inputs.dtype == targets.dtype == np.float32


def test_a_blend_has_the_blended_weight_of_its_pictures() -> None:
    weights = np.arange(1, 11, dtype=np.float32)
    batches = Batches(Echo(), np.arange(10), weights, batch_size=10, seed=1, mixup=0.3)
    _, targets, blended_weights = batches[0]
    assert (targets.max(axis=1) < 0.999).any()
    np.testing.assert_allclose(blended_weights, targets @ weights, rtol=1e-6)
    _, _, plain_weights = Batches(Echo(), np.arange(10), weights, batch_size=10)[0]
    np.testing.assert_array_equal(plain_weights, weights)


def test_every_device_takes_a_batch_unless_an_epoch_has_too_few_steps() -> None:
    for pictures in (3, 700, 100_000):
        assert global_batch_size(32, 1, pictures) == 32, "one device takes the batch size"
    assert global_batch_size(32, 8, 100_000) == 256
    assert global_batch_size(32, 8, 5_120) == 256
    assert global_batch_size(32, 8, 2_000) == 100
    assert global_batch_size(32, 8, 700) == 35
    assert global_batch_size(32, 2, 100) == 32


def test_a_tf_dataset_has_the_batches_of_the_current_epoch_in_order() -> None:
    batches = Batches(Echo(), np.arange(10), EVEN, 4, seed=1, mixup=0.3)
    dataset = to_tf_dataset(batches)
    for number in (0, 1):
        batches.start_epoch(number)
        for index, batch in enumerate(dataset):
            for array, expected in zip(batch, batches[index], strict=True):
                np.testing.assert_array_equal(array.numpy(), expected)
        assert index == 2


class Slow(Echo):
    """Slow inputs that count the batches read at the same time, and all batches read."""

    def __init__(self) -> None:
        self.lock, self.active, self.max_active, self.total = threading.Lock(), 0, 0, 0

    def read(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.int64]:
        with self.lock:
            self.active, self.total = self.active + 1, self.total + 1
            self.max_active = max(self.max_active, self.active)
        time.sleep(0.05)
        with self.lock:
            self.active -= 1
        return super().read(rows, views)


@pytest.mark.slow
def test_several_threads_prepare_batches_within_the_memory_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainers.features.batches.usable_cores", lambda: 4)
    inputs = Slow()
    assert len(list(to_tf_dataset(Batches(inputs, np.arange(10), EVEN, 1)))) == 10
    assert inputs.max_active > 1
    monkeypatch.setattr("trainers.features.batches.PREFETCH_BYTES", 1)
    inputs = Slow()
    waiting = iter(to_tf_dataset(Batches(inputs, np.arange(10), EVEN, 1)))
    next(waiting)
    time.sleep(1)
    assert inputs.max_active == 1
    assert inputs.total <= 5, "one for the shape, one returned, and a few prefetched"


def test_rows_with_any_number_of_labels_have_the_weight_1() -> None:
    truth = np.eye(10, 3, dtype=np.bool_) | np.array([True, False, False])
    truth[9] = False
    batches = Batches(Echo(), truth, EVEN[:3], batch_size=10)
    assert batches.is_multi_label
    _, targets, weights = batches[0]
    np.testing.assert_array_equal(targets, truth)
    np.testing.assert_array_equal(weights, EVEN)
    mixed = Batches(Echo(), truth, EVEN[:3], batch_size=10, seed=1, mixup=0.3)
    _, targets, weights = mixed[0]
    assert targets.dtype == weights.dtype == np.float32
    np.testing.assert_allclose(weights, 1, rtol=1e-6)
    is_between = (targets[:, 1] > 0.001) & (targets[:, 1] < 0.999)  # only row 1 has this label
    assert is_between.any()
