"""The last check before a bundle is written: the exported model must match the selected model.

The check finds errors that the validation during training cannot find. Examples: weights were
trained in a copy of the model and not copied back; features in the cache were outdated; the
exported format rounds differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from service.errors import ParityError
from trainers.evaluation.selection import ValidationResult


@dataclass(frozen=True)
class Rounding:
    """How much the results of two models with the same weights may differ because of rounding.

    Attributes:
        loss_difference: the largest allowed difference between the two cross-entropies of a
            picture, in nats, averaged over all pictures. If the mean loss is higher than 1, this
            limit is multiplied by the mean loss.
        changed_share: the largest allowed share of pictures, 0 to 1, that only one of the two
            models classifies correctly. One such picture is always allowed.
    """

    loss_difference: float
    changed_share: float


ROUNDINGS = {"float32": Rounding(1e-3, 0.002), "16 bits": Rounding(0.05, 0.02)}
"""The allowed differences, by the number format in which the selected model was validated."""
_TIE = 1e-5
"""A picture that only one of the two models classifies correctly is counted only if its two losses
differ by more than this number of nats. If they differ less, two classes have nearly the same
probability, and rounding decides between them."""


@dataclass(frozen=True)
class SelectedModel:
    """The selected model, and the result by which it was selected.

    Attributes:
        name: a short description of the model, for the error message.
        result: the result of the model on the validation pictures, in the order of the dataset, or
            on the training pictures if there are no validation pictures.
        computed_in: the number format in which the result was computed, a key of ROUNDINGS.
    """

    name: str
    result: ValidationResult
    computed_in: str = "float32"


def require_faithful(selected: SelectedModel, exported: ValidationResult) -> dict[str, Any]:
    """Check that the exported model gives the same results as the selected model.

    Args:
        exported: the result of the exported model on the pictures of `selected.result`, in the
            same order.

    Returns:
        For metrics.json: the results of both models, their differences and the allowed differences.

    Raises:
        ParityError: the differences are larger than rounding can explain.
    """
    result, rounding = selected.result, ROUNDINGS[selected.computed_in]
    count = len(result.losses)
    if len(exported.losses) != count:
        raise AssertionError(f"{len(exported.losses)} results for {count} pictures")
    loss, accuracy = result.loss, exported.accuracy
    differences = np.abs(exported.losses - result.losses)
    mean_difference = float(differences.mean())
    is_flipped = result.hits != exported.hits
    flips = int((is_flipped & (differences > _TIE)).sum())
    max_difference = rounding.loss_difference * max(1.0, loss)
    max_flips = max(1, round(rounding.changed_share * count))
    if not (mean_difference <= max_difference and flips <= max_flips):  # or if one is NaN
        raise ParityError(
            "no bundle was written, because the results of the exported ONNX model differ from "
            f"those of the selected model ({selected.name}): loss {exported.losses.mean():.4f} "
            f"instead of {loss:.4f}, accuracy {accuracy:.4f} instead of {result.accuracy:.4f}. "
            f"Pictures compared: {count}. The two losses of a picture differ by "
            f"{mean_difference:.2g} on average (allowed: {max_difference:.2g}). Pictures that only "
            f"one of the two models classifies correctly: {flips} (allowed: {max_flips}). Try "
            "--precision float32 with --cache-gigabytes 0. Even if that helps, please report this "
            "error with the plugin's name and the installed versions"
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
