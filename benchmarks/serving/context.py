"""The settings that all measurements of a run share: model, pictures, duration, folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.load.expected import Expected
from benchmarks.serving.load.pictures import Bodies, draw_bodies
from benchmarks.serving.server import Contender, Server
from service.bundle.reading import Bundle


@dataclass(frozen=True)
class BenchmarkContext:
    """Which model is measured, and how.

    Attributes:
        bundle: the model, which all servers serve.
        folder: a folder for temporary files.
        seconds: duration of one measurement.
        rounds: how often each measurement is repeated.
        only: if not empty, only servers whose names contain one of these texts are measured.
        bodies: request bodies, by kind (see `draw_bodies`).
        expected: the expected responses.
        started: when the run began (`time.monotonic`).
    """

    bundle: Bundle
    folder: Path
    seconds: float
    rounds: int
    only: Sequence[str]
    bodies: dict[str, Bodies]
    expected: Expected
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def prepare(
        cls, bundle: Bundle, folder: Path, seconds: float, rounds: int, only: Sequence[str]
    ) -> BenchmarkContext:
        bodies = draw_bodies(folder)
        return cls(bundle, folder, seconds, rounds, only, bodies, Expected(bundle, bodies["raw"]))

    def start(self, contender: Contender) -> Server:
        return Server(contender, self.bodies[contender.body], self.folder)

    def log(self, line: str) -> None:
        print(f"{time.monotonic() - self.started:6.0f} s  {line}", flush=True)
