"""How a model is called (sessions, threads, batch size), and which of the tried ways is best."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

_THREADS_GAIN: Final = 1.15
"""Fewer sessions of more threads must be faster by this factor. Trials run alone; a server decodes
pictures at the same time, and a call waits for the last of its threads."""
_BATCH_GAIN: Final = 1.03
"""A larger batch must be faster by this factor: the first picture of a batch waits for the last."""


class SessionConfig(BaseModel):
    """Number of sessions, threads of each, and largest batch."""

    model_config = ConfigDict(frozen=True)

    sessions: int = Field(ge=1)
    session_threads: int = Field(ge=1)
    max_batch_size: int = Field(ge=1)


class Trial(SessionConfig):
    """A configuration that was tried, with its throughput."""

    pictures_per_second: float


class TuningResult(BaseModel):
    """The trials, in order, and the configuration that was chosen."""

    model_config = ConfigDict(frozen=True)

    cores: int
    provider: str = ""
    """ONNX Runtime's name of the execution provider that was timed; "" if nothing was."""
    curve: tuple[Trial, ...]
    choice: SessionConfig

    def summary(self) -> str:
        """Describe the result in one line: sessions x threads, pictures per second by batch."""
        curve = "; ".join(
            f"{sessions}x{threads}: "
            + " ".join(f"{trial.max_batch_size}={trial.pictures_per_second:g}/s" for trial in group)
            for (sessions, threads), group in itertools.groupby(
                self.curve, lambda trial: (trial.sessions, trial.session_threads)
            )
        )
        choice = self.choice
        return (
            f"{choice.sessions} sessions of {choice.session_threads} threads, batches up to "
            f"{choice.max_batch_size} (tried on {self.cores} cores: {curve or 'nothing'})"
        )


def choose_config(trials: Sequence[Trial]) -> SessionConfig:
    """Choose the most sessions that are fast enough, and their smallest batch that is."""
    fast = _within_factor(_THREADS_GAIN, trials)
    sessions = max(trial.sessions for trial in fast)
    fast = _within_factor(_BATCH_GAIN, [trial for trial in fast if trial.sessions == sessions])
    best = min(fast, key=lambda trial: trial.max_batch_size)
    return SessionConfig(**best.model_dump(exclude={"pictures_per_second"}))


def _within_factor(factor: float, trials: Sequence[Trial]) -> list[Trial]:
    """Keep the trials that are at most `factor` times slower than the fastest."""
    threshold = max(trial.pictures_per_second for trial in trials) / factor
    return [trial for trial in trials if trial.pictures_per_second >= threshold]
