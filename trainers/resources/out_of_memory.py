"""Halves the batch size if a device has too little memory for a batch, and logs the new size."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.errors import GraftError
from trainers.progress import log

_Result = TypeVar("_Result")
_MEMORY_MESSAGES = (
    *("resource_exhausted", "resourceexhausted", "oom when allocating", "out of memory"),
    *("out_of_memory", "alloc_failed", "failed to allocate memory", "bad allocation"),
    *("smaller than requested bytes", "unable to allocate"),
)
"""Memory ran out if the type and message of an error, in lower case, contain one of these texts,
which come from TensorFlow, XLA, CUDA's libraries, ONNX Runtime and NumPy. The type alone is not
enough: cuDNN raises an InternalError, and ONNX Runtime a RuntimeException."""
_DISK_MESSAGE = "no space left"
"""Part of TensorFlow's message for a full disk. TensorFlow raises the same type of error for a full
disk as for too little memory."""


class MemoryShortageError(GraftError):
    """A device has too little memory for a single picture."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of TensorFlow, ONNX Runtime or NumPy means that memory ran out."""
    text = f"{type(error).__name__}: {error}".lower()
    return any(message in text for message in _MEMORY_MESSAGES) and _DISK_MESSAGE not in text


def retry_with_half(batch_size: int, label: str, attempt: Callable[[int], _Result]) -> _Result:
    """Call `attempt` with a batch size. Whenever memory runs out, halve the size and try again.

    Args:
        batch_size: the number of pictures for the first attempt.
        label: the name of the step, for the log.

    Returns:
        The result of `attempt`.

    Raises:
        MemoryShortageError: the memory is too small for one picture.
    """
    while True:
        try:
            return attempt(batch_size)
        except Exception as error:
            batch_size = _halve(error, batch_size, label)
        # Here Python has freed the error, and with it the arrays that its stack frames referred to.


class AdaptiveBatches:
    """Calls a function with batches of pictures, and halves the batch size if memory runs out.

    Later calls keep the smaller batch size. Several threads may call an instance at the same time.

    Args:
        function: pictures (M, ...) -> results (M, ...).
        batch_size: the largest number of pictures in one call of `function`.
        label: the name of the step, for the log.
    """

    def __init__(
        self, function: Callable[[Any], NDArray[Any]], batch_size: int, label: str
    ) -> None:
        self._function, self.batch_size, self._label = function, batch_size, label
        self._lock = threading.Lock()

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Return the results (M, ...) of pictures (M, ...).

        Raises:
            MemoryShortageError: the memory is too small for one picture.
        """
        results: list[NDArray[Any]] = []
        done = 0
        while done < len(images):
            batch = images[done : done + self.batch_size]
            try:
                results.append(self._function(batch))
                done += len(batch)
            except Exception as error:
                with self._lock:
                    if self.batch_size >= len(batch):  # else another thread has just halved it
                        self.batch_size = _halve(error, len(batch), self._label)
                    elif not is_out_of_memory(error):
                        raise
        return np.concatenate(results)


def _halve(error: Exception, batch_size: int, label: str) -> int:
    """Return half the batch size if `error` means that memory ran out; raise any other error.

    Raises:
        MemoryShortageError: memory ran out, and the batch size is already 1.
    """
    if not is_out_of_memory(error):
        raise error
    if batch_size == 1:
        raise MemoryShortageError(
            f"{label}: the memory of this device is too small even for one picture; choose a "
            "smaller --image-size or backbone, or --device cpu"
        ) from error
    log.warning(
        "%s: too little memory for %d pictures at a time; continuing with %d",
        *(label, batch_size, batch_size // 2),
    )
    return batch_size // 2
