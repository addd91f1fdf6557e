"""Session configurations: sessions, threads and batch size, and the choice of the best one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

_THREADS_GAIN: Final = 1.15
"""A configuration with fewer sessions, and so more threads per session, is chosen only if it is
faster in the trial by this factor than all configurations with more sessions. More threads per
session gain less in a server than in the trial, because the threads also decode pictures there, and
a call waits for its slowest thread."""
_BATCH_GAIN: Final = 1.03
"""A larger batch is chosen only if it is faster than all smaller ones by this factor, because it
delays the answers."""


class SessionConfig(BaseModel):
    """Number of sessions, threads per session, and largest number of pictures per batch."""

    model_config = ConfigDict(frozen=True)

    sessions: int = Field(ge=1)
    session_threads: int = Field(ge=1)
    max_batch_size: int = Field(ge=1)


class Trial(SessionConfig):
    """A configuration and its measured throughput."""

    pictures_per_second: float


class TuningResult(BaseModel):
    """All trials, in the order of measurement, and the configuration that was chosen."""

    model_config = ConfigDict(frozen=True)

    cores: int
    provider: str = ""
    """ONNX Runtime's name of the execution provider that was timed; "" if there were no trials."""
    curve: tuple[Trial, ...]
    choice: SessionConfig

    def summary(self) -> str:
        """Describe the result in one line: the choice, then the trials.

        Trials with the same numbers of sessions and of threads per session are written together:
        `2x4: 1=90/s 2=120/s` are 2 sessions of 4 threads with batches of 1 and of 2 pictures.
        """
        curve = "; ".join(
            f"{sessions}x{threads}: "
            + " ".join(f"{trial.max_batch_size}={trial.pictures_per_second:g}/s" for trial in group)
            for (sessions, threads), group in itertools.groupby(
                self.curve, lambda trial: (trial.sessions, trial.session_threads)
            )
        )
        choice = self.choice
        measured = f"measured on {self.cores} cores: {curve}" if curve else "not measured"
        return (
            f"{choice.sessions} sessions of {choice.session_threads} threads, batches up to "
            f"{choice.max_batch_size} ({measured})"
        )


def choose_config(trials: Sequence[Trial]) -> SessionConfig:
    """Choose a nearly fastest trial with as many sessions, and then as small batches, as possible.

    Of the trials that are slower than the fastest by at most the factor `_THREADS_GAIN`, those with
    the most sessions are kept. Of these trials, those that are slower than the fastest of them by
    at most `_BATCH_GAIN` are kept, and the trial with the smallest batch is chosen.
    """
    fast = _within_factor(_THREADS_GAIN, trials)
    sessions = max(trial.sessions for trial in fast)
    fast = _within_factor(_BATCH_GAIN, [trial for trial in fast if trial.sessions == sessions])
    best = min(fast, key=lambda trial: trial.max_batch_size)
    return SessionConfig(**best.model_dump(exclude={"pictures_per_second"}))


def _within_factor(factor: float, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that are slower than the fastest of `trials` by at most `factor`."""
    threshold = max(trial.pictures_per_second for trial in trials) / factor
    return [trial for trial in trials if trial.pictures_per_second >= threshold]
