"""What all measurements of one run share: the model, the pictures, how long, where to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.load.expected import Expected
from benchmarks.serving.load.pictures import Bodies, draw
from benchmarks.serving.server import Contender, Server
from service.bundle.reading import Bundle


@dataclass(frozen=True)
class Setting:
    """One bundle under measurement.

    Attributes:
        seconds: of one measurement.
        only: parts of names: only such contenders take part; none = all.
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
    ) -> Setting:
        bodies = draw(folder)
        return cls(bundle, folder, seconds, rounds, only, bodies, Expected(bundle, bodies["raw"]))

    def start(self, contender: Contender) -> Server:
        return Server(contender, self.bodies[contender.body], self.folder)

    def say(self, line: str) -> None:
        print(f"{time.monotonic() - self.started:6.0f} s  {line}", flush=True)
