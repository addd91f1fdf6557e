"""The gate before a bundle: the exported model is as good as the one that was chosen, or nothing.

A copy that was trained and not copied back, features of an older program, a format that rounds
otherwise: whatever comes between choosing a model and exporting it shows up here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from service.errors import ParityError
from trainers.evaluation.metrics import Answers
from trainers.evaluation.selection import Hits, Losses


@dataclass(frozen=True)
class Rounding:
    """How far the same weights may answer from themselves.

    Attributes:
        loss: mean difference of a picture's cross-entropy, in nats, for a mean loss of up to 1;
            above it in proportion.
        flips: share of pictures whose answer may turn from right to wrong or back; one always may.
    """

    loss: float
    flips: float


ROUNDINGS = {"float32": Rounding(1e-3, 0.002), "16 bits": Rounding(0.05, 0.02)}
"""By what the chosen model was computed in."""


_TIE = 1e-5
"""In nats. A picture of the same loss turns only where two classes are level, which rounding
decides: of 300 classes with copies of each other's pictures 14 did, at differences of 5e-7."""


@dataclass(frozen=True)
class Chosen:
    """By what the model that ships was chosen.

    Attributes:
        name: of it, in words.
        losses: cross-entropies (m,) in nats of the validation pictures in their order, or of those
            for training where there are none.
        hits: which of the same pictures it answers right (m,).
        computed_in: of ROUNDINGS.
    """

    name: str
    losses: Losses
    hits: Hits
    computed_in: str = "float32"

    @property
    def accuracy(self) -> float:
        return float(self.hits.mean())


def require_faithful(chosen: Chosen, exported: Answers) -> dict[str, Any]:
    """Compare what was chosen with what the exported model answers to the same pictures.

    Returns:
        The figures of both and how far they are apart, for metrics.json.

    Raises:
        ParityError: further than rounding explains.
    """
    count, rounding = len(chosen.losses), ROUNDINGS[chosen.computed_in]
    if len(exported.losses) != count:
        raise AssertionError(f"{len(exported.losses)} answers to {count} pictures")
    loss, accuracy = float(chosen.losses.mean()), exported.accuracy
    differences = np.abs(exported.losses - chosen.losses)
    apart = float(differences.mean())
    turned = chosen.hits != (exported.found == exported.true)
    flips = int((turned & (differences > _TIE)).sum())
    allowed = rounding.loss * max(1.0, loss), max(1, round(rounding.flips * count))
    if not (apart <= allowed[0] and flips <= allowed[1]):
        raise ParityError(
            f"the exported model is not the one that was chosen: {chosen.name} had loss {loss:.4f} "
            f"and accuracy {chosen.accuracy:.4f} on {count} pictures, the exported ONNX has "
            f"{exported.losses.mean():.4f} and {accuracy:.4f} (a picture's losses differ by "
            f"{apart:.2g} on average, allowed: {allowed[0]:.2g}; {flips} turn from right to wrong "
            f"or back, allowed: {allowed[1]}); nothing was published. Train with "
            "--precision float32 and --cache-gigabytes 0; if that helps, or nothing does, "
            "please report it with the plugin's name and the installed versions"
        )
    return {
        "pictures": count,
        "chosen": {"loss": loss, "accuracy": chosen.accuracy, "computed_in": chosen.computed_in},
        "exported": {"loss": float(exported.losses.mean()), "accuracy": accuracy},
        "loss_difference": {"mean_of_pictures": apart, "allowed": allowed[0]},
        "flips": {"pictures": flips, "allowed": allowed[1]},
    }
