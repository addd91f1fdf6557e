"""A pool of threads that decodes pictures, and classifies them in batches.

The model has one or more sessions, each of which handles one call at a time. If decoded pictures
wait and a session is free, an idle thread classifies a batch of them. Otherwise it decodes the next
picture. No picture waits for a batch to fill: batches become larger only while all sessions are
busy. A picture that cannot be decoded does not affect other pictures.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.errors import Overloaded

Decode = Callable[[bytes], NDArray[np.uint8]]
Result = TypeVar("Result")


class Job(Generic[Result]):
    """One picture to be classified.

    Attributes:
        data: the bytes from which `decode` makes the picture; empty once it is decoded.
        image: the decoded picture, (H, W, 3) uint8.
        future: receives the result; read it with `result`.
        times: values of `time.monotonic`, one for each event so far: submitted, decoding started,
            decoding ended, call of the model started, call of the model ended.
    """

    __slots__ = ("data", "future", "image", "times")

    image: NDArray[np.uint8]

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.future: Future[Result] = Future()
        self.times = [monotonic()]

    def result(self) -> Result:
        """Wait for the result; if the job failed, raise its error.

        Call this only once: the future of a failed job is dropped, to break the reference cycle
        error -> traceback -> frames -> job -> error. It would keep the picture in memory.
        """
        try:
            return self.future.result()
        except Exception:
            del self.future
            raise

    def cancel(self) -> None:
        """Cancel the job and free `data`, unless the model has already received the picture."""
        if self.future.cancel():
            self.data = b""

    async def wait(self) -> Result:
        """Wait for the result, as `result`; if the waiting task is cancelled, so is the job."""
        # `asyncio.wrap_future` would need three more callbacks per request in the event loop.
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()
        self.future.add_done_callback(lambda _: loop.call_soon_threadsafe(answered.set))
        try:
            await answered.wait()
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self.result()


class Scheduler(Generic[Result]):
    """Runs jobs on a pool of threads, and limits the number of admitted pictures.

    Args:
        decode: bytes -> (H, W, 3) uint8; raises an error for bad pictures. Called by all threads.
        classify: (N, H, W, 3) uint8 -> N results; called by up to `sessions` threads at once.
        threads: number of threads; if `sessions` is larger, there are `sessions` threads.
        sessions: largest number of concurrent calls of the model.
        max_batch_size: largest number of pictures in one call of the model.
        max_queue_size: largest number of admitted pictures.
    """

    def __init__(
        self,
        decode: Decode,
        classify: Callable[[NDArray[np.uint8]], Sequence[Result]],
        *,
        threads: int,
        sessions: int,
        max_batch_size: int,
        max_queue_size: int,
    ) -> None:
        self._decode, self._classify = decode, classify
        self._max_batch_size, self._max_queue_size = max_batch_size, max_queue_size
        self._undecoded: deque[Job[Result]] = deque()
        self._decoded: deque[Job[Result]] = deque()
        self._free_sessions = sessions
        self._is_open = True
        self._lock = threading.Lock()
        self._idle_threads: list[threading.Lock] = []
        """One lock for each idle thread; releasing it wakes the thread. The one that became idle
        last is woken first, because the caches of its core may still contain the model."""
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
        """The number of pictures that are admitted now."""
        return self._admitted

    @property
    def is_full(self) -> bool:
        """Whether `admit` would refuse one more picture."""
        return self._admitted >= self._max_queue_size

    @property
    def is_calm(self) -> bool:
        """Whether fewer pictures are admitted than half the number of threads."""
        return 2 * self._admitted < len(self._threads)

    @contextmanager
    def admit(self, count: int) -> Iterator[None]:
        """Reserve places in the queue for `count` pictures until the `with` block ends.

        Raises:
            Overloaded: the queue has too few free places.
        """
        with self._admission_lock:
            if self._admitted + count > self._max_queue_size:
                raise Overloaded(
                    "the queue is too full for this request: it needs one place per picture "
                    f"({count}), but {self._admitted} of {self._max_queue_size} places are taken; "
                    "try again in a moment"
                )
            self._admitted += count
        try:
            yield
        finally:
            with self._admission_lock:
                self._admitted -= count

    def submit(self, data: bytes) -> Job[Result]:
        """Queue the bytes of a picture file, to be decoded and classified."""
        return self._enqueue(self._undecoded, Job(data))

    def submit_decoded(self, image: NDArray[np.uint8]) -> Job[Result]:
        """Queue a decoded picture: (H, W, 3) uint8, in the model's input size."""
        job: Job[Result] = Job()
        job.image = image
        job.times *= 3  # submitted and decoded at the same moment
        return self._enqueue(self._decoded, job)

    def close(self) -> None:
        """Finish all admitted and queued pictures, then stop the threads.

        Do not submit pictures after this call.
        """
        while self._admitted:
            sleep(0.01)
        with self._lock:
            self._is_open = False
            while self._idle_threads:
                self._idle_threads.pop().release()
        for thread in self._threads:
            thread.join()

    def _enqueue(self, queue: deque[Job[Result]], job: Job[Result]) -> Job[Result]:
        with self._lock:
            queue.append(job)
            if self._idle_threads:
                self._idle_threads.pop().release()
        return job

    def _run(self) -> None:
        """Run tasks until the scheduler closes; if there is no task, sleep until woken."""
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
        """Return a task (classify a batch if a session is free, else decode a picture), or None."""
        if self._decoded and self._free_sessions:
            count = min(len(self._decoded), self._max_batch_size)
            batch = [self._decoded.popleft() for _ in range(count)]
            self._free_sessions -= 1
            return functools.partial(self._classify_batch, batch)
        if self._undecoded:
            return functools.partial(self._decode_job, self._undecoded.popleft())
        return None

    def _decode_job(self, job: Job[Result]) -> None:
        if job.future.cancelled():
            return
        job.times.append(monotonic())
        try:
            job.image = self._decode(job.data)
        except Exception as error:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
            del job  # break the reference cycle error -> traceback -> this frame -> job
            return
        job.data = b""
        job.times.append(monotonic())
        with self._lock:  # wake no other thread: this thread takes the next task
            self._decoded.append(job)

    def _classify_batch(self, batch: list[Job[Result]]) -> None:
        batch = [job for job in batch if job.future.set_running_or_notify_cancel()]
        started = monotonic()
        try:
            results = self._classify(np.stack([job.image for job in batch])) if batch else ()
            answered = list(zip(batch, results, strict=True))
        except Exception as error:
            for job in batch:
                job.future.set_exception(error)
            return
        finally:
            with self._lock:
                self._free_sessions += 1
        ended = monotonic()
        for job, result in answered:
            job.times += (started, ended)
            job.future.set_result(result)
