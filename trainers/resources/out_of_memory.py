"""Where a device has too little memory: half as many pictures at a time, said, and on it goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.errors import GraftError
from trainers.progress import log

_Result = TypeVar("_Result")
_SIGNS = (
    *("resource_exhausted", "resourceexhausted", "oom when allocating", "out of memory"),
    *("out_of_memory", "alloc_failed", "failed to allocate memory", "bad allocation"),
    *("smaller than requested bytes", "unable to allocate"),
)
"""In the messages of TensorFlow, XLA, CUDA's libraries, ONNX Runtime and numpy; types differ:
cuDNN's shortage is an InternalError, ONNX Runtime's a RuntimeException."""
_FULL_DISK = "no space left"
"""TensorFlow has the same error for it."""


class MemoryShortageError(GraftError):
    """The machine has too little memory for what was asked."""


def is_shortage(error: Exception) -> bool:
    """Whether an error of TensorFlow or ONNX Runtime says that memory is too small."""
    words = f"{type(error).__name__}: {error}".lower()
    return any(sign in words for sign in _SIGNS) and _FULL_DISK not in words


def halving(size: int, label: str, attempt: Callable[[int], _Result]) -> _Result:
    """What `attempt` returns for so many pictures at a time, or for the half, the quarter, ...

    Raises:
        MemoryShortageError: one at a time is too much.
    """
    while True:
        try:
            return attempt(size)
        except Exception as error:
            size = _half(error, size, label)
        # The error is gone here, and with it the frames that held what filled the memory.


class Halving:
    """Calls a function with at most so many pictures at a time, and with half of them for good
    when memory was too small. May be called by several threads.

    Args:
        run: pictures (M, ...) -> results (M, ...).
        size: most pictures in a call.
        label: what is done with them, for the log.
    """

    def __init__(self, run: Callable[[Any], NDArray[Any]], size: int, label: str) -> None:
        self._run, self.size, self._label = run, size, label
        self._lock = threading.Lock()

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """
        Raises:
            MemoryShortageError: one picture is too much.
        """
        parts: list[NDArray[Any]] = []
        done = 0
        while done < len(images):
            part = images[done : done + self.size]
            try:
                parts.append(self._run(part))
                done += len(part)
            except Exception as error:
                with self._lock:
                    if self.size >= len(part):  # else another thread has halved it by now
                        self.size = _half(error, len(part), self._label)
                    elif not is_shortage(error):
                        raise
        return np.concatenate(parts)


def _half(error: Exception, size: int, label: str) -> int:
    """Half of so many pictures, where an error says that they were too many; else the error."""
    if not is_shortage(error):
        raise error
    if size == 1:
        raise MemoryShortageError(
            f"{label}: one picture at a time is too much for the memory here: choose a smaller "
            "--image-size or backbone, or --device cpu"
        ) from error
    log.warning(
        "%s: too little memory for %d pictures at a time, going on with %d",
        *(label, size, size // 2),
    )
    return size // 2
