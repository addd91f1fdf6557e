"""Concurrent pictures share calls of the model, without waiting for company.

A thread takes whatever is waiting, up to a limit, and calls the model once. Under load pictures
gather while the model is busy; a lone picture is answered at once. Only decoded pictures get
here, so a bad one has failed alone before.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.errors import Overloaded

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class _Waiting:
    image: NDArray[np.uint8]
    answer: Future[NDArray[np.float32]] = field(default_factory=Future)


class Batcher:
    """A bounded number of pictures inside, answered in batches by one thread.

    Args:
        predict: (N, H, W, 3) uint8 -> (N, classes) float32; called from the batcher's thread.
        max_batch_size: most pictures in one call.
        max_queue_size: most pictures admitted at a time.
    """

    def __init__(self, predict: Predict, max_batch_size: int, max_queue_size: int) -> None:
        self._predict = predict
        self._max_batch_size = max_batch_size
        self._max_queue_size = max_queue_size
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._inside = 0
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def inside(self) -> int:
        """Pictures admitted and not yet answered."""
        return self._inside

    @contextmanager
    def admit(self, pictures: int) -> Iterator[None]:
        """Let `pictures` in, from before they are decoded until they are answered.

        Raises:
            Overloaded: there is no room for them now.
        """
        with self._lock:
            if self._inside + pictures > self._max_queue_size:
                raise Overloaded(
                    f"{self._inside} pictures are being worked on, at most {self._max_queue_size} "
                    "are let in; try again in a moment"
                )
            self._inside += pictures
        try:
            yield
        finally:
            with self._lock:
                self._inside -= pictures

    def submit(self, image: NDArray[np.uint8]) -> Future[NDArray[np.float32]]:
        """Queue one decoded picture, (H, W, 3) -> a future of its (classes,) probabilities.

        A future that is cancelled before its turn costs no call of the model.
        """
        waiting = _Waiting(image)
        self._waiting.put(waiting)
        return waiting.answer

    def close(self) -> None:
        """Answer what is queued, then stop the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._take()
            batch = [entry for entry in batch if entry.answer.set_running_or_notify_cancel()]
            if batch:
                self._answer(batch)

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Wait for a picture, take those behind it; False once `close` was called."""
        batch: list[_Waiting] = []
        entry = self._waiting.get()
        while entry is not None:
            batch.append(entry)
            if len(batch) == self._max_batch_size:
                return batch, True
            try:
                entry = self._waiting.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            probabilities = self._predict(np.stack([entry.image for entry in batch]))
            answered = list(zip(batch, probabilities, strict=True))
        except Exception as error:
            for entry in batch:
                entry.answer.set_exception(error)
            return
        for entry, row in answered:
            entry.answer.set_result(row)
