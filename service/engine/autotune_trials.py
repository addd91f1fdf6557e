"""Time a model on random images, with different numbers of sessions, threads and batch sizes."""

from __future__ import annotations

import threading
import time
from typing import Final

import numpy as np

from service.bundle.reading import Bundle
from service.engine.device import load_predictor, preferred_provider
from service.engine.onnx_session import CUDA
from service.engine.predictor import Predictor
from service.engine.session_config import SessionConfig, Trial, TuningResult, choose_config

MAX_SECONDS: Final = 2.5
"""Time limit for all trials together; the last trial may end a little later."""
_TRIAL_SECONDS: Final = 0.12
"""Duration of one trial, which is enough for about 5 calls of a ResNet50."""
_STOP_RATIO: Final = 0.9
"""If the throughput falls below this fraction of the best throughput with the same number of
sessions, no larger batches are tried."""
_MAX_BATCH_SIZE: Final = 64


def run_trials(
    bundle: Bundle, cores: int, device: str = "auto", max_seconds: float = MAX_SECONDS
) -> TuningResult:
    """Time the model of `bundle` on `cores` cores, or on a GPU, and choose a configuration.

    Raises:
        BundleError: the model cannot be loaded or does not reproduce its golden answers.
        SettingError: `device` requires a GPU that cannot be used.
    """
    provider = preferred_provider(device)
    if provider == CUDA:  # ONNX Runtime may be built for GPUs on a machine without one
        provider = load_predictor(bundle, device).provider
    started = time.monotonic()
    trials: list[Trial] = []
    # Several sessions on one GPU would wait for each other.
    session_counts = [1] if provider == CUDA else _session_counts(cores)
    for number, sessions in enumerate(session_counts, 1):
        # Each session count may use an equal share of the time, plus what earlier ones left.
        deadline = started + max_seconds * number / len(session_counts)
        if trials and time.monotonic() > deadline:
            continue  # loading the model again takes time too
        threads = cores // sessions
        predictor = load_predictor(bundle, device, threads, sessions)
        best, batch = 0.0, 1
        while batch <= _MAX_BATCH_SIZE and (not trials or time.monotonic() < deadline):
            rate = round(_pictures_per_second(predictor, sessions, batch), 1)
            config = SessionConfig(sessions=sessions, session_threads=threads, max_batch_size=batch)
            trials.append(Trial(**config.model_dump(), pictures_per_second=rate))
            if rate < _STOP_RATIO * best:
                break
            best, batch = max(best, rate), 2 * batch
    return TuningResult(
        cores=cores, provider=provider, curve=tuple(trials), choice=choose_config(trials)
    )


def _session_counts(cores: int) -> list[int]:
    """List the divisors of `cores` in the order to try: `cores`, 1, then the rest, descending."""
    between = [count for count in range(2, cores) if cores % count == 0]
    return list(dict.fromkeys([cores, 1, *reversed(between)]))


def _pictures_per_second(predictor: Predictor, sessions: int, batch: int) -> float:
    size = predictor.image_size
    noise = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
    predictor.classify(noise)  # warm-up: ONNX Runtime plans its memory for each new shape
    counts = [0] * sessions
    started = time.monotonic()

    def call_repeatedly(index: int) -> None:
        while counts[index] == 0 or time.monotonic() - started < _TRIAL_SECONDS:
            predictor.classify(noise)
            counts[index] += 1

    threads = [threading.Thread(target=call_repeatedly, args=(index,)) for index in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) * batch / (time.monotonic() - started)
