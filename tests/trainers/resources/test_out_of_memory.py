from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from trainers.progress import log
from trainers.resources.out_of_memory import Halving, MemoryShortageError, halving, is_shortage


@pytest.fixture(autouse=True)
def log_lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    log.addHandler(caplog.handler)
    yield caplog
    log.removeHandler(caplog.handler)


class Small:
    """A device with memory for so many pictures."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, []

    def __call__(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        self.asked.append(len(images))
        if len(images) > self.most:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return images * 10


def test_what_tensorflow_raises_is_a_shortage() -> None:
    with pytest.raises(tf.errors.ResourceExhaustedError) as caught:
        tf.zeros((1 << 20, 1 << 24))
    assert is_shortage(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        tf.errors.InternalError(None, None, "CUDNN_STATUS_ALLOC_FAILED in cudnn"),
        tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
        RuntimeError("BFCArena Failed to allocate memory for requested buffer of size 8"),
        RuntimeError("Available memory of 1 is smaller than requested bytes of 2"),
        RuntimeError("std::bad_alloc: bad allocation"),
        tf.errors.UnknownError(None, None, "MemoryError: Unable to allocate 19. GiB for an array"),
    ],
)
def test_shortages_have_many_words(error: Exception) -> None:
    assert is_shortage(error)


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "log/events; No space left on device"),
        tf.errors.InvalidArgumentError(None, None, "shapes differ"),
        ValueError("no"),
    ],
)
def test_other_errors_are_none(error: Exception) -> None:
    assert not is_shortage(error)
    with pytest.raises(type(error)):
        halving(8, "work", lambda size: (_ for _ in ()).throw(error))


def test_half_of_the_pictures_go_at_a_time_from_then_on(
    log_lines: pytest.LogCaptureFixture,
) -> None:
    device = Small(5)
    run = Halving(device, 32, "extracting")
    images = np.arange(40)
    np.testing.assert_array_equal(run(images), images * 10)
    assert device.asked == [32, 16, 8, *[4] * 10]
    np.testing.assert_array_equal(run(images[:7]), images[:7] * 10)
    assert device.asked[-2:] == [4, 3]
    lines = list(dict.fromkeys(record.getMessage() for record in log_lines.records))
    assert lines[-1] == "extracting: too little memory for 8 pictures at a time, going on with 4"
    assert len(lines) == 3


def test_a_picture_that_does_not_fit_by_itself_ends_it() -> None:
    with pytest.raises(MemoryShortageError, match=r"extracting: one picture.*--device cpu"):
        Halving(Small(0), 4, "extracting")(np.arange(4))
    with pytest.raises(MemoryShortageError, match="fine-tuning: one picture"):
        halving(4, "fine-tuning", lambda size: Small(0)(np.arange(size)))


def test_threads_that_meet_the_same_shortage_halve_once() -> None:
    both = threading.Barrier(2)

    def run(images: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(images) == 8:
            both.wait(60)
        return Small(4)(images)

    together = Halving(run, 8, "extracting")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(together, [np.arange(8), np.arange(8)]))
    assert together.size == 4
    np.testing.assert_array_equal(results, [np.arange(8) * 10] * 2)
