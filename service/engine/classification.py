"""What a model says about one picture, as numbers and as an answer shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

SEPARATOR: Final = "|"
"""Joins the labels of a picture to one text. The labels of a multi-label model cannot contain it.
"""
KNOWN_SHARE: Final = 0.95
"""A picture is known if its novelty is at most this. So this share of the validation pictures is
known."""


def join_labels(labels: Iterable[str]) -> str:
    """Join the labels of a picture to one text that does not depend on their order."""
    return SEPARATOR.join(sorted(labels))


class ModelOutputs(NamedTuple):
    """The outputs of a model for a batch of N pictures.

    Attributes:
        probabilities: (N, classes) float32, 0 to 1; each row of a single-label model sums to 1.
        embeddings: (N, features) float32, pooled features.
    """

    probabilities: NDArray[np.float32]
    embeddings: NDArray[np.float32]


class Classification(NamedTuple):
    """The numbers of one picture.

    Attributes:
        probabilities: (classes,) float32, 0 to 1; the sum is 1 if the model is single-label.
        embedding: (features,) float32, pooled features.
        novelty: how unlike the training pictures it is, 0 to 1: the share of validation pictures
            that are more like them. None if the bundle cannot tell, as older bundles.
    """

    probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32]
    novelty: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What an answer says about one picture.

    Attributes:
        ranking: (class, probability) pairs, most probable first, at least one.
        label_set: the classes that contain the true one with the confidence GRAFT_CONFIDENCE, most
            probable first; None if that is 0, or if the model has no such sets. Of a multi-label
            model, they contain this share of the true labels.
        novelty: as in `Classification`; None also if GRAFT_NOVELTY is false.
        labels: the labels of the picture with their probabilities, most probable first; it may be
            empty. None if the model is single-label: then it has the first class of the ranking.
    """

    ranking: list[tuple[str, float]]
    label_set: list[str] | None = None
    novelty: float | None = None
    labels: list[tuple[str, float]] | None = None

    @property
    def is_known(self) -> bool | None:
        """Whether the picture is like the training pictures; None if the novelty is None."""
        return None if self.novelty is None else self.novelty <= KNOWN_SHARE
