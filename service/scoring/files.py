"""Classify files with the same decoder, scheduler and predictor as the service."""

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

from service.engine.classification import Classification
from service.engine.predictor import Predictor
from service.engine.scheduler import Job, Scheduler
from service.engine.session_config import SessionConfig
from service.errors import PayloadTooLarge, RequestError, UnreadableFile
from service.settings import Settings

_JOBS_PER_THREAD: Final = 16
"""Number of pictures per thread that are queued in advance. Results are returned in order, so a
slow picture delays the results after it. Meanwhile, other threads process the queued pictures."""


@dataclass(frozen=True, slots=True)
class ScoredFile:
    """The result for one file: its classification, or an error.

    Attributes:
        path: path of the file.
        classification: what the model says; None if there was an error.
        error: the reason why the file was not classified; None if it was.
    """

    path: str
    classification: Classification | None = None
    error: RequestError | UnreadableFile | None = None


def score_files(
    paths: Iterable[str], predictor: Predictor, config: SessionConfig, settings: Settings
) -> Generator[ScoredFile]:
    """Classify files in several threads; yield the results in the order of `paths`.

    At most this much is in memory at the same time: one file per thread, two batches of decoded
    pictures per session, and `_JOBS_PER_THREAD` decoded pictures per thread. To stop early, close
    the generator.

    Args:
        paths: paths of the files.
        predictor: the model.
        config: number of ONNX Runtime sessions, and largest number of pictures per batch.
        settings: number of threads, and limits on pictures.
    """
    threads = settings.usable_threads()
    window = 2 * config.sessions * config.max_batch_size + _JOBS_PER_THREAD * threads
    scheduler = Scheduler(
        _path_decoder(predictor, settings),
        predictor.classify,
        threads=threads,
        sessions=config.sessions,
        max_batch_size=config.max_batch_size,
        max_queue_size=window,
    )
    pending: deque[tuple[str, Job[Classification]]] = deque()
    try:
        for path in paths:
            # Wait once for half of the window: to wake up for each result would slow the threads.
            if len(pending) == window:
                wait([pending[window // 2][1].future])
                for _ in range(window // 2):
                    yield _scored_file(*pending.popleft())
            pending.append((path, scheduler.submit(os.fsencode(path))))
        while pending:
            yield _scored_file(*pending.popleft())
    finally:
        for _, job in pending:
            job.cancel()
        # A thread that is still inside ONNX Runtime at the exit would abort the process.
        scheduler.close()


def _path_decoder(predictor: Predictor, settings: Settings) -> Callable[[bytes], NDArray[np.uint8]]:
    """Make the function that the scheduler calls to read and decode a file.

    The function takes the path of the file, as bytes. The scheduler queues paths instead of the
    contents of files, so a file is read only when a thread is free to decode it.
    """
    limits = settings.limits()

    def decode_path(path: bytes) -> NDArray[np.uint8]:
        data = read_file(Path(os.fsdecode(path)), settings.max_image_bytes)
        return predictor.decode(data, limits)

    return decode_path


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a file of at most `max_bytes` bytes.

    Raises:
        UnreadableFile: the path is a folder, a pipe or a device, or the file cannot be read.
        PayloadTooLarge: the file has more than `max_bytes` bytes.
    """
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= max_bytes:
            return path.read_bytes()
        if stat.S_ISDIR(status.st_mode):
            next(path.iterdir(), None)  # raises an OSError if the folder cannot be searched
    except OSError as error:
        raise UnreadableFile(
            f"{path} cannot be read: {error.strerror}; check that it exists and that this user "
            "may read it"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile(
            f"{path} is a folder, a pipe or a device, not a picture file; choose a picture file"
        )
    raise too_many_bytes(status.st_size, max_bytes)


def too_many_bytes(size_bytes: int, max_bytes: int) -> PayloadTooLarge:
    """Make the error for a picture of `size_bytes` bytes, if only `max_bytes` are accepted."""
    return PayloadTooLarge(
        f"the picture has {size_bytes:,} bytes; at most {max_bytes:,} are accepted: shrink it, or "
        "raise the limit with the environment variable GRAFT_MAX_IMAGE_BYTES"
    )


def _scored_file(path: str, job: Job[Classification]) -> ScoredFile:
    try:
        return ScoredFile(path, job.result())
    except (RequestError, UnreadableFile) as error:
        return ScoredFile(path, error=error)
