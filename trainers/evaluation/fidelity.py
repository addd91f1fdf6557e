"""The last check before a bundle: the exported model is the one that was selected.

It finds whatever goes wrong between selection and export: weights that were trained in a copy and
not copied back, features of an older program, a format that rounds differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from service.errors import ParityError
from trainers.evaluation.metrics import Predictions
from trainers.evaluation.selection import ValidationResult


@dataclass(frozen=True)
class Rounding:
    """How much the answers of the same weights may differ by rounding.

    Attributes:
        loss: mean absolute difference of a picture's cross-entropy, in nats, for a mean loss of up
            to 1; proportionally more above.
        flips: share of pictures whose answer may change between right and wrong; one always may.
    """

    loss: float
    flips: float


ROUNDINGS = {"float32": Rounding(1e-3, 0.002), "16 bits": Rounding(0.05, 0.02)}
"""By the number format that the selected model was computed in."""
_TIE = 1e-5
"""In nats. Where the loss is the same and the answer is not, classes tie and rounding decides."""


@dataclass(frozen=True)
class Selected:
    """The answers by which the model was selected.

    Attributes:
        name: of the model, in words.
        result: its answers to the validation pictures, in their order, or to the training pictures
            if there are none.
        computed_in: a key of ROUNDINGS.
    """

    name: str
    result: ValidationResult
    computed_in: str = "float32"


def require_faithful(selected: Selected, exported: Predictions) -> dict[str, Any]:
    """Compare the answers of the exported model with those that it was selected by.

    Args:
        exported: answers to the same pictures, in the same order.

    Returns:
        The figures of both and their differences, for metrics.json.

    Raises:
        ParityError: the differences are larger than rounding explains.
    """
    result, rounding = selected.result, ROUNDINGS[selected.computed_in]
    count = len(result.losses)
    if len(exported.losses) != count:
        raise AssertionError(f"{len(exported.losses)} answers to {count} pictures")
    loss, accuracy = result.loss, exported.accuracy
    differences = np.abs(exported.losses - result.losses)
    mean_difference = float(differences.mean())
    is_flipped = result.hits != (exported.predicted == exported.labels)
    flips = int((is_flipped & (differences > _TIE)).sum())
    max_difference = rounding.loss * max(1.0, loss)
    max_flips = max(1, round(rounding.flips * count))
    if not (mean_difference <= max_difference and flips <= max_flips):  # also if not a number
        raise ParityError(
            f"the exported model is not the one that was selected: {selected.name} had loss "
            f"{loss:.4f} and accuracy {result.accuracy:.4f} on {count} pictures, the exported "
            f"ONNX has {exported.losses.mean():.4f} and {accuracy:.4f} (the losses of a picture "
            f"differ by {mean_difference:.2g} on average, allowed: {max_difference:.2g}; {flips} "
            f"answers change between right and wrong, allowed: {max_flips}); nothing was "
            "published. Train with --precision float32 and --cache-gigabytes 0, and please report "
            "this, whether that helps or not, with the plugin's name and the installed versions"
        )
    return {
        "pictures": count,
        "chosen": {
            "loss": loss,
            "accuracy": result.accuracy,
            "computed_in": selected.computed_in,
        },
        "exported": {"loss": float(exported.losses.mean()), "accuracy": accuracy},
        "loss_difference": {"mean_of_pictures": mean_difference, "allowed": max_difference},
        "flips": {"pictures": flips, "allowed": max_flips},
    }
