"""Too little memory on a device: halve the batch, log it, and continue."""

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
"""Messages of TensorFlow, XLA, CUDA's libraries, ONNX Runtime and numpy. The types differ: cuDNN
raises an InternalError, ONNX Runtime a RuntimeException."""
_DISK_MESSAGE = "no space left"
"""TensorFlow raises the same error for a full disk."""


class MemoryShortageError(GraftError):
    """The machine has too little memory for a single picture."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of TensorFlow, ONNX Runtime or numpy means too little memory."""
    text = f"{type(error).__name__}: {error}".lower()
    return any(message in text for message in _MEMORY_MESSAGES) and _DISK_MESSAGE not in text


def retry_with_half(batch_size: int, label: str, attempt: Callable[[int], _Result]) -> _Result:
    """Call `attempt` with a batch size, and with half of it as often as memory is too small.

    Args:
        label: what is done with the pictures, for the log.

    Returns:
        What `attempt` returns.

    Raises:
        MemoryShortageError: the memory is too small for one picture.
    """
    while True:
        try:
            return attempt(batch_size)
        except Exception as error:
            batch_size = _halve(error, batch_size, label)
        # The error is gone here, and with it the frames that held what filled the memory.


class AdaptiveBatches:
    """A function that is called with batches; when memory is too small, batches stay half as large.

    Several threads may call it.

    Args:
        function: pictures (M, ...) -> results (M, ...).
        batch_size: most pictures in a call.
        label: what is done with the pictures, for the log.
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
    """Half of a batch size that was too large for the memory; any other error is raised again."""
    if not is_out_of_memory(error):
        raise error
    if batch_size == 1:
        raise MemoryShortageError(
            f"{label}: the memory of this machine is too small for one picture at a time; choose a "
            "smaller --image-size or backbone, or --device cpu"
        ) from error
    log.warning(
        "%s: too little memory for %d pictures at a time; continuing with %d",
        *(label, batch_size, batch_size // 2),
    )
    return batch_size // 2
