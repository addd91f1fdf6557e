"""The last check before a bundle is written: does the exported model answer like the selected one?

It finds errors between selection and export, such as weights that were trained in a copy of the
model and not copied back, outdated features from the cache, or a format that rounds differently.
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
    """How much two results of the same weights may differ because of rounding.

    Attributes:
        loss_difference: how much the two cross-entropies of a picture may differ on average, in
            nats. If the mean loss is higher than 1, this limit is multiplied by the mean loss.
        changed_share: the largest share of pictures, 0 to 1, whose answers may change between right
            and wrong. One such picture is always allowed.
    """

    loss_difference: float
    changed_share: float


ROUNDINGS = {"float32": Rounding(1e-3, 0.002), "16 bits": Rounding(0.05, 0.02)}
"""The differences that are allowed for each number format of the selected model."""
_TIE = 1e-5
"""An answer that changes between right and wrong is counted only if the loss of the picture changes
by more than this number of nats. Otherwise two classes have nearly the same probability, and
rounding decides between them."""


@dataclass(frozen=True)
class SelectedModel:
    """The selected model, and the result by which it was selected.

    Attributes:
        name: a short description of the model, for the error message.
        result: the result of the model on the validation pictures, in the order of the dataset, or
            on the training pictures if there are no validation pictures.
        computed_in: the number format of the computation, a key of ROUNDINGS.
    """

    name: str
    result: ValidationResult
    computed_in: str = "float32"


def require_faithful(selected: SelectedModel, exported: Predictions) -> dict[str, Any]:
    """Compare the answers of the exported model with those of the selected model.

    Args:
        exported: the answers of the exported model to the pictures of `selected.result`, in the
            same order.

    Returns:
        The figures of both models and their differences, for metrics.json.

    Raises:
        ParityError: the differences are too large for rounding.
    """
    result, rounding = selected.result, ROUNDINGS[selected.computed_in]
    count = len(result.losses)
    if len(exported.losses) != count:
        raise AssertionError(f"{len(exported.losses)} exported answers to {count} pictures")
    loss, accuracy = result.loss, exported.accuracy
    differences = np.abs(exported.losses - result.losses)
    mean_difference = float(differences.mean())
    is_flipped = result.hits != (exported.predicted == exported.labels)
    flips = int((is_flipped & (differences > _TIE)).sum())
    max_difference = rounding.loss_difference * max(1.0, loss)
    max_flips = max(1, round(rounding.changed_share * count))
    if not (mean_difference <= max_difference and flips <= max_flips):  # or if one is NaN
        raise ParityError(
            "no bundle was written, because the exported ONNX model answers differently from the "
            f"selected model ({selected.name}) on {count} pictures: loss "
            f"{exported.losses.mean():.4f} instead of {loss:.4f}, accuracy {accuracy:.4f} instead "
            f"of {result.accuracy:.4f}. The losses of a picture differ by {mean_difference:.2g} on "
            f"average (allowed: {max_difference:.2g}), and {flips} answers change between right "
            f"and wrong (allowed: {max_flips}). Try --precision float32 with --cache-gigabytes 0. "
            "In any case, please report this error with the plugin's name and the installed "
            "versions"
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
