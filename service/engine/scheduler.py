"""A pool of threads that takes every picture from its bytes to its probabilities.

A free thread calls the model with the decoded pictures that wait, if a session is free; otherwise
it decodes the next picture. No picture waits for a batch to fill: batches form where the model is
the bottleneck (few sessions, as on a GPU). A picture that cannot be decoded fails alone.
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


class Job:
    """One picture to be classified.

    Attributes:
        future: will hold its (classes,) probabilities; read it with `result`.
        times: `time.monotonic` when it was submitted, when decoding started and ended, and when
            the model's call started and ended; as many of the five as were reached.
    """

    __slots__ = ("data", "future", "image", "times")

    image: NDArray[np.uint8]

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.future: Future[NDArray[np.float32]] = Future()
        self.times = [monotonic()]

    def result(self) -> NDArray[np.float32]:
        """Wait for the (classes,) probabilities; raise the job's error, if it failed, once.

        Forgetting the error breaks the reference cycle error -> traceback -> frames -> job ->
        error, in which the picture's bytes would wait for the garbage collector.
        """
        try:
            return self.future.result()
        except Exception:
            del self.future
            raise

    def cancel(self) -> None:
        """Skip the job if the model is not called yet, and free its bytes if it still queues."""
        if self.future.cancel():
            self.data = b""


class Scheduler:
    """Runs jobs on `threads` threads, with a bound on the jobs at a time.

    Args:
        decode: bytes -> (H, W, 3) uint8; raises for bad pictures. Called by any thread.
        predict: (N, H, W, 3) uint8 -> (N, classes) float32; called by up to `sessions` threads.
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
        self._undecoded: deque[Job] = deque()
        self._decoded: deque[Job] = deque()
        self._free_sessions = sessions
        self._is_open = True
        self._lock = threading.Lock()
        self._idle_threads: list[threading.Lock] = []
        """Locks at which idle threads wait. The last to stop resumes first: its processor's caches
        still hold the model, which saves 20% of latency at part load."""
        self._admitted = 0
        self._admission_lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"picture-{index}", daemon=True)
            for index in range(max(threads, sessions))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def admitted(self) -> int:
        """Pictures admitted and not yet answered."""
        return self._admitted

    @property
    def is_full(self) -> bool:
        """Whether `admit` would refuse one more picture."""
        return self._admitted >= self._max_queue_size

    @contextmanager
    def admit(self, count: int) -> Iterator[None]:
        """Admit `count` pictures, from before they are decoded until they are answered.

        Raises:
            Overloaded: the queue has no room for them.
        """
        with self._admission_lock:
            if self._admitted + count > self._max_queue_size:
                raise Overloaded(
                    f"{self._admitted} pictures are queued or being classified; at most "
                    f"{self._max_queue_size} are accepted; try again in a moment"
                )
            self._admitted += count
        try:
            yield
        finally:
            with self._admission_lock:
                self._admitted -= count

    def submit(self, data: bytes) -> Job:
        """Queue the bytes of a picture."""
        return self._enqueue(self._undecoded, Job(data))

    def submit_decoded(self, image: NDArray[np.uint8]) -> Job:
        """Queue a decoded picture, (H, W, 3) uint8 of the model's size."""
        job = Job()
        job.image = image
        job.times *= 3  # submitted and decoded at the same moment
        return self._enqueue(self._decoded, job)

    def close(self) -> None:
        """Answer the admitted pictures, then stop the threads; admit nothing afterwards."""
        while self._admitted:
            sleep(0.01)
        with self._lock:
            self._is_open = False
            while self._idle_threads:
                self._idle_threads.pop().release()
        for thread in self._threads:
            thread.join()

    def _enqueue(self, queue: deque[Job], job: Job) -> Job:
        with self._lock:
            queue.append(job)
            if self._idle_threads:
                self._idle_threads.pop().release()
        return job

    def _run(self) -> None:
        """Run tasks until the scheduler closes; wait at a lock while there are none."""
        wakeup = threading.Lock()
        wakeup.acquire()
        while True:
            with self._lock:
                task = self._next_task()
                if task is None:
                    if not self._is_open:
                        return
                    self._idle_threads.append(wakeup)
            if task is None:
                wakeup.acquire()
            else:
                task()

    def _next_task(self) -> Callable[[], None] | None:
        """Take a batch for a free session, else a picture to decode; None = nothing to do."""
        if self._decoded and self._free_sessions:
            count = min(len(self._decoded), self._max_batch_size)
            batch = [self._decoded.popleft() for _ in range(count)]
            self._free_sessions -= 1
            return functools.partial(self._predict_batch, batch)
        if self._undecoded:
            return functools.partial(self._decode_job, self._undecoded.popleft())
        return None

    def _decode_job(self, job: Job) -> None:
        if job.future.cancelled():
            return
        job.times.append(monotonic())
        try:
            job.image = self._decode(job.data)
        except Exception as error:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
            del job  # the error's traceback holds this frame: break the cycle, as futures do
            return
        job.data = b""
        job.times.append(monotonic())
        with self._lock:  # no thread is woken: this one takes the next task at once
            self._decoded.append(job)

    def _predict_batch(self, batch: list[Job]) -> None:
        batch = [job for job in batch if job.future.set_running_or_notify_cancel()]
        started = monotonic()
        try:
            rows = self._predict(np.stack([job.image for job in batch])) if batch else ()
            answered = list(zip(batch, rows, strict=True))
        except Exception as error:
            for job in batch:
                job.future.set_exception(error)
            return
        finally:
            with self._lock:
                self._free_sessions += 1
        ended = monotonic()
        for job, row in answered:
            job.times += (started, ended)
            job.future.set_result(row)
