"""How this machine runs this model best, found by trying: sessions, threads of each, batch size.

On processors many sessions of one thread and small batches often win; on a GPU one session and
large ones. Nothing here knows that: the model is timed on noise, and the best is taken. What was
found is kept per model, machine and version of ONNX Runtime.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import platform
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from service.bundle.manifest import Bundle
from service.engine.device import load, version, wanted
from service.engine.predictor import CUDA, Predictor
from service.errors import SettingError
from service.settings import Settings
from service.system.resources import cache_folder, processor_name

SECONDS = 2.5
"""Longest time that all the trying together takes (a call of the model may end a little later)."""
_TRY_SECONDS = 0.12
"""How long one setting is tried: 40 calls of a MobileNetV2, 5 of a ResNet50."""
_MEETS_DECODING = 1.15
"""Fewer sessions of more threads must be so much faster alone: with pictures decoded and requests
read beside it, a call waits for the last of its threads. ResNet50 on 2 cores: 53.6 a second by one
session of two threads, 53.5 by two of one; behind HTTP 43 and 50."""
_WORTH = 1.03
"""A larger batch must be so much faster to be taken: it makes the first of its pictures wait."""
_SLOWER = 0.9
"""Batches are not doubled further once they are so much slower than the best."""
_LARGEST_BATCH = 64

_log = logging.getLogger("bentoml.graft")  # below BentoML's, whose INFO is shown


class Choice(BaseModel):
    """How the model is called."""

    model_config = ConfigDict(frozen=True)

    sessions: int = Field(ge=1)
    session_threads: int = Field(ge=1)
    max_batch_size: int = Field(ge=1)


class Measurement(Choice):
    """One way to call the model, with what came of it."""

    pictures_per_second: float


class Tuning(BaseModel):
    """What was tried, in order, and what was chosen."""

    model_config = ConfigDict(frozen=True)

    cores: int
    provider: str = ""
    """ONNX Runtime's name of what it was tried on; "" where nothing was."""
    curve: tuple[Measurement, ...]
    choice: Choice

    def line(self) -> str:
        """For the log: sessions x threads, and pictures a second by batch size."""
        curve = "; ".join(
            f"{sessions}x{threads}: "
            + " ".join(f"{way.max_batch_size}={way.pictures_per_second:g}/s" for way in ways)
            for (sessions, threads), ways in itertools.groupby(
                self.curve, lambda way: (way.sessions, way.session_threads)
            )
        )
        choice = self.choice
        return (
            f"{choice.sessions} sessions of {choice.session_threads} threads, batches up to "
            f"{choice.max_batch_size} (tried on {self.cores} cores: {curve or 'nothing'})"
        )


def tune(bundle: Bundle, cores: int, device: str = "auto", seconds: float = SECONDS) -> Tuning:
    """Time the model of `bundle` on `cores` cores, or on a GPU, and choose.

    Raises:
        BundleError: the model cannot be loaded or does not give its recorded answers.
        SettingError: as `service.engine.device.load`.
    """
    provider = wanted(device)
    if provider == CUDA:  # which may be built in, and not there
        provider = load(bundle, device).provider
    started = time.monotonic()
    curve: list[Measurement] = []
    # What shares one GPU waits for itself.
    counts = [1] if provider == CUDA else _divisors(cores)
    for number, sessions in enumerate(counts, 1):
        # Each has its part of the time, and what the ones before it left.
        deadline = started + seconds * number / len(counts)
        if curve and time.monotonic() > deadline:
            continue  # to load the model once more takes time as well
        predictor = load(bundle, device, cores // sessions, sessions)
        best, batch = 0.0, 1
        while batch <= _LARGEST_BATCH and (not curve or time.monotonic() < deadline):
            rate = round(_pictures_per_second(predictor, sessions, batch), 1)
            way = Choice(sessions=sessions, session_threads=cores // sessions, max_batch_size=batch)
            curve.append(Measurement(**way.model_dump(), pictures_per_second=rate))
            if rate < _SLOWER * best:
                break
            best, batch = max(best, rate), 2 * batch
    return Tuning(cores=cores, provider=provider, curve=tuple(curve), choice=choose(curve))


def choose(curve: Sequence[Measurement]) -> Choice:
    """As many sessions as are fast enough; of their batches the smallest that is."""
    fast = _within(_MEETS_DECODING, curve)
    most = max(way.sessions for way in fast)
    good = _within(_WORTH, [way for way in fast if way.sessions == most])
    best = min(good, key=lambda way: way.max_batch_size)
    return Choice(**best.model_dump(exclude={"pictures_per_second"}))


def _within(factor: float, ways: Sequence[Measurement]) -> list[Measurement]:
    enough = max(way.pictures_per_second for way in ways) / factor
    return [way for way in ways if way.pictures_per_second >= enough]


def tuned(bundle: Bundle, settings: Settings) -> Tuning:
    """What is known of this model on this machine, measured where nothing is; settings win.

    Raises:
        BundleError: as `tune`.
    """
    found = known(bundle, settings)
    if found is None:
        measured = tune(bundle, settings.usable_threads(), settings.device)
        if measured.provider == wanted(settings.device):  # else a GPU is away, for now
            _keep(measured, bundle, settings)
        found = _with_settings(measured, settings)
    return found


def known(bundle: Bundle, settings: Settings) -> Tuning | None:
    """What was measured before, or is set; None where the model has to be timed."""
    if len(_given(settings)) == len(Choice.model_fields):
        nothing = Choice(sessions=1, session_threads=1, max_batch_size=1)
        untried = Tuning(cores=settings.usable_threads(), curve=(), choice=nothing)
        return _with_settings(untried, settings)
    try:
        kept = Tuning.model_validate_json(_path(bundle, settings).read_bytes())
    except (OSError, ValueError, SettingError):
        return None
    return _with_settings(kept, settings)


def _given(settings: Settings) -> dict[str, int]:
    return {name: value for name in Choice.model_fields if (value := getattr(settings, name))}


def _with_settings(tuning: Tuning, settings: Settings) -> Tuning:
    """The best of what was tried and agrees with the settings; where nothing does, they win."""
    given = _given(settings)
    agree = [way for way in tuning.curve if given.items() <= way.model_dump().items()]
    choice = choose(agree) if agree else tuning.choice.model_copy(update=given)
    return tuning.model_copy(update={"choice": choice})


def _path(bundle: Bundle, settings: Settings) -> Path:
    """SettingError where the user has no place for a cache."""
    return cache_folder() / "tuning" / f"{bundle.manifest.version}-{_machine(settings)}.json"


def _keep(tuning: Tuning, bundle: Bundle, settings: Settings) -> None:
    try:
        path = _path(bundle, settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as file:
            file.write(tuning.model_dump_json(indent=1).encode())
        Path(file.name).replace(path)
    except (OSError, SettingError) as error:
        _log.warning(
            "how the model runs best is measured at every start, for GRAFT_CACHE names no folder "
            "that can be written to: %s",
            error,
        )


def _divisors(cores: int) -> list[int]:
    """Numbers of sessions to try, the likely ones first: one for each core, one alone, between."""
    between = [count for count in range(2, cores) if cores % count == 0]
    return list(dict.fromkeys([cores, 1, *reversed(between)]))


def _pictures_per_second(predictor: Predictor, sessions: int, batch: int) -> float:
    size = predictor.image_size
    noise = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
    predictor.predict(noise)  # ONNX Runtime plans its memory for a new shape
    counts = [0] * sessions
    started = time.monotonic()

    def call(index: int) -> None:
        while counts[index] == 0 or time.monotonic() - started < _TRY_SECONDS:
            predictor.predict(noise)
            counts[index] += 1

    threads = [threading.Thread(target=call, args=(index,)) for index in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) * batch / (time.monotonic() - started)


def _machine(settings: Settings) -> str:
    """What the figures depend on besides the model, as a short name."""
    parts = [platform.node(), platform.machine(), processor_name(), str(settings.usable_threads())]
    parts += [wanted(settings.device), version()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
