"""Session configurations (sessions, threads and batch size), and how the best one is chosen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

_THREADS_GAIN: Final = 1.15
"""Of the configurations that are slower than the fastest one by at most this factor, one with the
most sessions is chosen. These have the fewest threads per session. More threads per session gain
less in the service than in a trial: the threads of the service also decode pictures, and each call
of the model waits for its slowest thread."""
_BATCH_GAIN: Final = 1.03
"""Of the batch sizes that are slower than the fastest one by at most this factor, the smallest is
chosen, because a larger batch delays the results."""


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

        Trials with the same numbers of sessions and of threads per session form one group:
        `2x4: 1=90/s 2=120/s` means that 2 sessions of 4 threads classify 90 pictures per second in
        batches of 1 picture, and 120 pictures per second in batches of 2.
        """
        curve = "; ".join(
            f"{sessions}x{threads}: "
            + " ".join(f"{trial.max_batch_size}={trial.pictures_per_second:g}/s" for trial in group)
            for (sessions, threads), group in itertools.groupby(
                self.curve, lambda trial: (trial.sessions, trial.session_threads)
            )
        )
        choice = self.choice
        measured = (
            f"measured on {_counted(self.cores, 'core')}: {curve}" if curve else "not measured"
        )
        return (
            f"{_counted(choice.sessions, 'session')} of "
            f"{_counted(choice.session_threads, 'thread')}, "
            f"batches of up to {_counted(choice.max_batch_size, 'picture')} ({measured})"
        )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def choose_config(trials: Sequence[Trial]) -> SessionConfig:
    """Choose one of the fastest trials, preferably with many sessions and a small batch.

    Step 1: keep the trials that are slower than the fastest one by at most `_THREADS_GAIN`.
    Step 2: of these, keep the trials with the most sessions.
    Step 3: of these, keep the trials that are slower than the fastest one by at most `_BATCH_GAIN`.
    Step 4: of these, choose the trial with the smallest batch.
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
