"""A few threads take every picture from its bytes to its probabilities.

A free thread calls the model with whatever decoded pictures wait, if a session is free for it;
otherwise it decodes the next picture. Nothing ever waits for company, and batches form by
themselves where the model is what everybody waits for: few sessions, as on a GPU. A picture that
cannot be decoded fails alone, before it meets others.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic, sleep

import numpy as np
from numpy.typing import NDArray

from service.errors import Overloaded

Decode = Callable[[bytes], NDArray[np.uint8]]
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class Picture:
    """One picture on its way.

    Attributes:
        answer: its (classes,) probabilities, later; see `take_answer` and `give_up`.
        times: when (`time.monotonic`) it was submitted, was taken for decoding, was decoded, was
            taken for the model, and was answered; as far as it came.
    """

    __slots__ = ("answer", "data", "image", "times")

    image: NDArray[np.uint8]

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.answer: Future[NDArray[np.float32]] = Future()
        self.times = [monotonic()]

    def take_answer(self) -> NDArray[np.float32]:
        """Its (classes,) probabilities, waited for where need be; or what went wrong, raised, once.

        Forgetting the error breaks the reference cycle error -> traceback -> frames -> picture ->
        error, in which the picture's bytes would wait for the garbage collector.
        """
        try:
            return self.answer.result()
        except Exception:
            del self.answer
            raise

    def give_up(self) -> None:
        """Let it cost no more: neither a call of the model nor, while it still queues, memory."""
        if self.answer.cancel():
            self.data = b""


class Scheduler:
    """A bounded number of pictures inside, worked on by `threads` threads.

    Args:
        decode: bytes -> (H, W, 3) uint8; raises for bad pictures. Called by any thread.
        predict: (N, H, W, 3) uint8 -> (N, classes) float32; by up to `sessions` threads at once.
        threads: that decode and call the model.
        sessions: most calls of the model at a time.
        max_batch_size: most pictures in one call.
        max_queue_size: most pictures admitted at a time.
    """

    def __init__(
        self,
        decode: Decode,
        predict: Predict,
        *,
        threads: int,
        sessions: int,
        max_batch_size: int,
        max_queue_size: int,
    ) -> None:
        self._decode, self._predict = decode, predict
        self._max_batch_size, self._max_queue_size = max_batch_size, max_queue_size
        self._encoded: deque[Picture] = deque()
        self._decoded: deque[Picture] = deque()
        self._free_sessions = sessions
        self._is_open = True
        self._lock = threading.Lock()
        self._idle: list[threading.Lock] = []
        """What threads without work wait at; the last to stop is the first to go on, for its
        processor's caches still hold the model: 20% less latency at part load than in turn."""
        self._inside = 0
        self._admission = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, name=f"picture-{index}", daemon=True)
            for index in range(max(threads, sessions))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def inside(self) -> int:
        """Pictures admitted and not yet answered."""
        return self._inside

    @property
    def is_full(self) -> bool:
        """Whether `admit` would refuse one more picture."""
        return self._inside >= self._max_queue_size

    @contextmanager
    def admit(self, pictures: int) -> Iterator[None]:
        """Let `pictures` in, from before they are decoded until they are answered.

        Raises:
            Overloaded: there is no room for them now.
        """
        with self._admission:
            if self._inside + pictures > self._max_queue_size:
                raise Overloaded(
                    f"{self._inside} pictures are being worked on, at most {self._max_queue_size} "
                    "are let in; try again in a moment"
                )
            self._inside += pictures
        try:
            yield
        finally:
            with self._admission:
                self._inside -= pictures

    def submit(self, data: bytes) -> Picture:
        """Queue the bytes of a picture."""
        return self._put(self._encoded, Picture(data))

    def submit_decoded(self, image: NDArray[np.uint8]) -> Picture:
        """Queue a picture (H, W, 3) of the model's size."""
        picture = Picture()
        picture.image = image
        picture.times *= 3  # submitted, taken and decoded at once
        return self._put(self._decoded, picture)

    def close(self) -> None:
        """Answer what was admitted, then stop the threads; nothing is to be admitted any more."""
        while self._inside:
            sleep(0.01)
        with self._lock:
            self._is_open = False
            while self._idle:
                self._idle.pop().release()
        for thread in self._threads:
            thread.join()

    def _put(self, queue: deque[Picture], picture: Picture) -> Picture:
        with self._lock:
            queue.append(picture)
            if self._idle:
                self._idle.pop().release()
        return picture

    def _work(self) -> None:
        """Do what is most urgent, again and again; whoever did something looks for more."""
        gate = threading.Lock()
        gate.acquire()
        while True:
            with self._lock:
                task = self._most_urgent()
                if task is None:
                    if not self._is_open:
                        return
                    self._idle.append(gate)
            if task is None:
                gate.acquire()
            else:
                task()

    def _most_urgent(self) -> Callable[[], None] | None:
        if self._decoded and self._free_sessions:
            count = min(len(self._decoded), self._max_batch_size)
            batch = [self._decoded.popleft() for _ in range(count)]
            self._free_sessions -= 1
            return functools.partial(self._answer, batch)
        if self._encoded:
            return functools.partial(self._decode_one, self._encoded.popleft())
        return None

    def _decode_one(self, picture: Picture) -> None:
        if picture.answer.cancelled():
            return
        picture.times.append(monotonic())
        try:
            picture.image = self._decode(picture.data)
        except Exception as error:
            if picture.answer.set_running_or_notify_cancel():
                picture.answer.set_exception(error)
            del picture  # the error's traceback holds this frame: break that cycle, as futures do
            return
        picture.data = b""
        picture.times.append(monotonic())
        with self._lock:  # this thread looks for more at once: nobody is woken
            self._decoded.append(picture)

    def _answer(self, batch: list[Picture]) -> None:
        batch = [entry for entry in batch if entry.answer.set_running_or_notify_cancel()]
        started = monotonic()
        try:
            rows = self._predict(np.stack([entry.image for entry in batch])) if batch else ()
            answered = list(zip(batch, rows, strict=True))
        except Exception as error:
            for entry in batch:
                entry.answer.set_exception(error)
            return
        finally:
            with self._lock:
                self._free_sessions += 1
        ended = monotonic()
        for entry, row in answered:
            entry.times += (started, ended)
            entry.answer.set_result(row)
