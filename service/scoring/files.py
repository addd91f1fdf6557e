"""Score files with the service's own decoder, scheduler and predictor."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.engine.predictor import Predictor
from service.engine.scheduler import Job, Scheduler
from service.engine.session_config import SessionConfig
from service.errors import PayloadTooLarge, RequestError, UnreadableFile
from service.settings import Settings

_JOBS_PER_THREAD: Final = 16
"""Queued pictures per thread: results wait for a slow picture before them, threads do not."""


@dataclass(frozen=True, slots=True)
class ScoredFile:
    """A file, with its (classes,) probabilities or the reason why there are none."""

    path: str
    probabilities: NDArray[np.float32] | None = None
    error: RequestError | UnreadableFile | None = None


def score_files(
    paths: Iterable[str], predictor: Predictor, config: SessionConfig, settings: Settings
) -> Generator[ScoredFile]:
    """Score files on the threads of `settings`, in the order of `paths`.

    Memory holds the bytes of one picture per thread, and decoded pictures of a window: two batches
    per session and a few pictures per thread. Close the generator to stop early.
    """
    threads = settings.usable_threads()
    window = 2 * config.sessions * config.max_batch_size + _JOBS_PER_THREAD * threads
    scheduler = Scheduler(
        _path_decoder(predictor, settings),
        predictor.predict,
        threads=threads,
        sessions=config.sessions,
        max_batch_size=config.max_batch_size,
        max_queue_size=window,
    )
    pending: deque[tuple[str, Job]] = deque()
    try:
        for path in paths:
            if len(pending) == window:  # collect half a window: each wait takes time from threads
                wait([pending[window // 2][1].future])
                for _ in range(window // 2):
                    yield _scored_file(*pending.popleft())
            pending.append((path, scheduler.submit(os.fsencode(path))))
        while pending:
            yield _scored_file(*pending.popleft())
    finally:
        for _, job in pending:
            job.cancel()
        scheduler.close()  # a thread that ends inside ONNX Runtime would abort the process


def _path_decoder(predictor: Predictor, settings: Settings) -> Callable[[bytes], NDArray[np.uint8]]:
    """Make the scheduler's decoder: jobs hold paths, so that a free thread reads the file."""
    limits = settings.limits()

    def decode_path(path: bytes) -> NDArray[np.uint8]:
        data = read_file(Path(os.fsdecode(path)), settings.max_image_bytes)
        return predictor.decode(data, limits)

    return decode_path


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a file.

    Raises:
        UnreadableFile: it is a folder, a pipe or a device, or cannot be opened or read.
        PayloadTooLarge: it has more than `max_bytes`.
    """
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= max_bytes:
            return path.read_bytes()
        if stat.S_ISDIR(status.st_mode):
            next(path.iterdir(), None)  # raises the reason why the folder could not be searched
    except OSError as error:
        raise UnreadableFile(f"the file cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile("not a regular file")
    raise PayloadTooLarge(
        f"the picture has {status.st_size:,} bytes; at most {max_bytes:,} are accepted: "
        "shrink it, or set GRAFT_MAX_IMAGE_BYTES"
    )


def _scored_file(path: str, job: Job) -> ScoredFile:
    try:
        return ScoredFile(path, job.result())
    except (RequestError, UnreadableFile) as error:
        return ScoredFile(path, error=error)
