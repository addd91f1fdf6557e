from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from trainers.progress import log
from trainers.resources.out_of_memory import (
    AdaptiveBatches,
    MemoryShortageError,
    is_out_of_memory,
    retry_with_half,
)


@pytest.fixture(autouse=True)
def log_lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    log.addHandler(caplog.handler)
    yield caplog
    log.removeHandler(caplog.handler)


class SmallDevice:
    """A device with memory for batches of up to `max_pictures`."""

    def __init__(self, max_pictures: int) -> None:
        self.max_pictures, self.batch_sizes = max_pictures, []

    def __call__(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        self.batch_sizes.append(len(images))
        if len(images) > self.max_pictures:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return images * 10


def test_tensorflows_error_is_recognised() -> None:
    with pytest.raises(tf.errors.ResourceExhaustedError) as caught:
        tf.zeros((1 << 20, 1 << 24))
    assert is_out_of_memory(caught.value)


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
def test_errors_of_other_libraries_are_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "log/events; No space left on device"),
        tf.errors.InvalidArgumentError(None, None, "shapes differ"),
        ValueError("no"),
    ],
)
def test_other_errors_are_raised_again(error: Exception) -> None:
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)):
        retry_with_half(8, "work", lambda size: (_ for _ in ()).throw(error))


def test_halved_batches_stay_halved(
    log_lines: pytest.LogCaptureFixture,
) -> None:
    device = SmallDevice(5)
    extract = AdaptiveBatches(device, 32, "extracting")
    images = np.arange(40)
    np.testing.assert_array_equal(extract(images), images * 10)
    assert device.batch_sizes == [32, 16, 8, *[4] * 10]
    np.testing.assert_array_equal(extract(images[:7]), images[:7] * 10)
    assert device.batch_sizes[-2:] == [4, 3]
    lines = list(dict.fromkeys(record.getMessage() for record in log_lines.records))
    assert lines[-1] == "extracting: too little memory for 8 pictures at a time; continuing with 4"
    assert len(lines) == 3


def test_a_picture_that_is_too_large_alone_is_an_error() -> None:
    with pytest.raises(
        MemoryShortageError, match=r"extracting: the memory .*for one picture.*--device cpu"
    ):
        AdaptiveBatches(SmallDevice(0), 4, "extracting")(np.arange(4))
    with pytest.raises(MemoryShortageError, match=r"fine-tuning: the memory .*for one picture"):
        retry_with_half(4, "fine-tuning", lambda size: SmallDevice(0)(np.arange(size)))


def test_threads_that_run_out_of_memory_together_halve_once() -> None:
    barrier = threading.Barrier(2)

    def extract_together(images: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(images) == 8:
            barrier.wait(60)
        return SmallDevice(4)(images)

    extract = AdaptiveBatches(extract_together, 8, "extracting")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(extract, [np.arange(8), np.arange(8)]))
    assert extract.batch_size == 4
    np.testing.assert_array_equal(results, [np.arange(8) * 10] * 2)
