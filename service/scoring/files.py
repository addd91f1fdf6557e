"""Files through the service's own decoder, scheduler and predictor, a window of them at a time."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.engine.autotune import Choice
from service.engine.predictor import Predictor
from service.engine.scheduler import Picture, Scheduler
from service.errors import PayloadTooLarge, RequestError, UnreadableFile
from service.settings import Settings

_AHEAD = 16
"""Pictures in flight for each thread: answers wait for a slow one before them, threads do not."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One file, and its (classes,) probabilities or why there are none."""

    path: str
    probabilities: NDArray[np.float32] | None = None
    error: RequestError | UnreadableFile | None = None


def score(
    paths: Iterable[str], predictor: Predictor, way: Choice, settings: Settings
) -> Generator[Scored]:
    """Score files on all threads that `settings` give, in the order of `paths`.

    In memory are the bytes of one picture for each thread, and the decoded pictures of a window of
    two batches for each session and a few for each thread. Close the iterator to stop early.
    """
    threads = settings.usable_threads()
    window = 2 * way.sessions * way.max_batch_size + _AHEAD * threads
    scheduler = Scheduler(
        _decoder(predictor, settings),
        predictor.predict,
        threads=threads,
        sessions=way.sessions,
        max_batch_size=way.max_batch_size,
        max_queue_size=window,
    )
    waiting: deque[tuple[str, Picture]] = deque()
    try:
        for path in paths:
            if len(waiting) == window:  # one turn for many answers: each takes it from a thread
                wait([waiting[window // 2][1].answer])
                for _ in range(window // 2):
                    yield _scored(*waiting.popleft())
            waiting.append((path, scheduler.submit(os.fsencode(path))))
        while waiting:
            yield _scored(*waiting.popleft())
    finally:
        for _, picture in waiting:
            picture.give_up()
        scheduler.close()  # a thread that Python ended inside ONNX Runtime would abort the process


def _decoder(predictor: Predictor, settings: Settings) -> Callable[[bytes], NDArray[np.uint8]]:
    """What the scheduler takes for bytes of a picture are its name here: a free thread reads it."""

    limits = settings.limits()

    def read_and_decode(name: bytes) -> NDArray[np.uint8]:
        data = read(Path(os.fsdecode(name)), settings.max_image_bytes)
        return predictor.decode(data, limits)

    return read_and_decode


def read(path: Path, max_bytes: int) -> bytes:
    """The content of a file.

    Raises:
        UnreadableFile: it is a folder, a pipe or a device, or cannot be opened or read.
        PayloadTooLarge: it has more than `max_bytes`.
    """
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= max_bytes:
            return path.read_bytes()
        if stat.S_ISDIR(status.st_mode):
            next(path.iterdir(), None)  # says why a folder is here: it could not be opened
    except OSError as error:
        raise UnreadableFile(f"the file cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile("not a regular file")
    raise PayloadTooLarge(
        f"the picture has {status.st_size:,} bytes; at most {max_bytes:,} are accepted: "
        "shrink it, or set GRAFT_MAX_IMAGE_BYTES"
    )


def _scored(path: str, picture: Picture) -> Scored:
    try:
        return Scored(path, picture.take_answer())
    except (RequestError, UnreadableFile) as error:
        return Scored(path, error=error)
