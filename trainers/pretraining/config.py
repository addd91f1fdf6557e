"""The configuration of a pretraining run, and the folder of the run."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from service.errors import GraftError
from trainers.pretraining.drawn_dataset import write_atomically


@dataclass(frozen=True)
class PretrainingConfig:
    """Everything that determines the weights, apart from the code.

    The defaults were chosen by the accuracy on drawn classes that were left out of training, and on
    the sample pictures of leaves.

    Raises:
        GraftError: a value is out of range, or too few pictures remain for training.
    """

    seed: int = 0
    classes: int = 1024
    per_class: int = 100  # pictures of each class
    held_out: int = 4  # how many of them are left out of training, to measure the accuracy
    epochs: int = 18
    batch_size: int = 128
    learning_rate: float = (
        0.5  # at its peak, after half an epoch; then it falls to 0 along a cosine
    )
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        least = {"seed": 0, "classes": 2, "held_out": 1, "epochs": 1, "batch_size": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise GraftError(f"--{name.replace('_', '-')} must be at least {value}")
        if self.held_out >= self.per_class or self.steps < 2:
            raise GraftError(
                f"--classes {self.classes} --per-class {self.per_class} --held-out {self.held_out} "
                "leave too few pictures for training, which needs at least two batches of "
                f"{self.batch_size} pictures: choose more classes, or more pictures per class"
            )
        if not 0 < self.learning_rate < math.inf or not 0 < self.weight_decay < math.inf:
            raise GraftError("--learning-rate and --weight-decay must be finite numbers above 0")

    @property
    def steps(self) -> int:
        """The number of steps in an epoch, without the last incomplete batch."""
        return self.classes * (self.per_class - self.held_out) // self.batch_size


def claim_folder(config: PretrainingConfig, folder: Path) -> None:
    """Create the folder of a run, or check that an existing folder belongs to the same run.

    Raises:
        GraftError: the folder belongs to a run with another configuration or other code.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "plan.json"
    content = json.dumps({**asdict(config), "code": code_hash()}, indent=2)
    if record.is_file() and record.read_text(encoding="utf-8") != content:
        raise GraftError(
            f"{folder} belongs to a run with other options or another version of the code (see "
            f"{record}); choose another --output, or remove the folder to start again"
        )
    write_atomically(record, content)


def code_hash() -> str:
    """Return the SHA-256 of the code that determines the weights.

    This is the code that draws the pictures, trains the network and builds it.
    """
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in (
        *sorted(here.glob("*.py")),
        here.parents[1] / "plugins/families/pocket/__init__.py",
    ):
        code = path.read_bytes()
        digest.update(re.sub(rb'SHA256 = ".*"', b"", code))  # written there after the run
    return digest.hexdigest()
