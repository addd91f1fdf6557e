"""Explain why a model chooses a class for a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import HEAT_MAPS, MODEL
from service.cli.arguments import closest_match
from service.engine.predictor import Predictor
from service.errors import BadParameter, NotExplainable
from service.explanation import overlay
from service.explanation.heat_maps import HeatMapModel, normalize
from service.explanation.training_pictures import Neighbor, TrainingPictures

NEAREST: Final = 5
"""Number of training pictures in an explanation."""
_MAX_COMPARED: Final = 100
"""Largest number of characters of an unknown label that are compared with the classes."""


@dataclass(frozen=True)
class Explanation:
    """Why a model gives a class its probability for one picture.

    Attributes:
        label: the class that is explained.
        score: its probability, 0 to 1.
        heat_map: (h, w) float32, which regions of the picture speak for the class, 0 to 1. The
            strongest region has 1. All are 0 if no region speaks for the class.
        nearest: the most similar training pictures, most similar first; empty if the bundle cannot
            tell, as older bundles, or if GRAFT_SHOW_PICTURES is false.
        image: (size, size, 3) uint8 RGB, the picture as the model sees it.
    """

    label: str
    score: float
    heat_map: NDArray[np.float32]
    nearest: tuple[Neighbor, ...]
    image: NDArray[np.uint8] = field(repr=False)

    def draw(self) -> bytes:
        """Draw the heat map over the picture in gray, and return a PNG of its size."""
        return overlay.draw(self.image, self.heat_map)


class Explainer:
    """Explains the answers of a model, with a session of its own that the first call opens.

    Args:
        predictor: the model.
        show_pictures: whether explanations have training pictures.
    """

    def __init__(self, predictor: Predictor, show_pictures: bool = True) -> None:
        self._bundle, self._classes = predictor.bundle, predictor.classes
        self._training_pictures = (
            TrainingPictures(predictor.bundle, predictor.novelty.references)
            if show_pictures and predictor.novelty
            else None
        )

    def check(self, label: str | None) -> None:
        """Check that the model has heat maps and this class; None = the most probable class.

        Raises:
            NotExplainable: the backbone has no regions, or an old version of Graft made the bundle.
            BadParameter: the model has no such class. The message names the closest one.
        """
        if HEAT_MAPS not in self._bundle.manifest.files:
            raise NotExplainable(
                "This model has no heat maps. Either its backbone has no regions (ViT, SigLIP): "
                "train with another backbone. Or an old version of Graft made it: train it again."
            )
        if label is None or label in self._classes:
            return
        match = closest_match(label[:_MAX_COMPARED], self._classes)
        hint = f"did you mean `{match}`?" if match else f"for example `{self._classes[0]}`"
        raise BadParameter(f"label must be one of the model's {len(self._classes)} classes; {hint}")

    def explain(
        self,
        image: NDArray[np.uint8],
        probabilities: NDArray[np.float32],
        label: str | None = None,
    ) -> Explanation:
        """Explain why a class has its probability.

        Args:
            image: a decoded picture, (size, size, 3) uint8 RGB.
            probabilities: (classes,) the probabilities that the model gives this picture.
            label: the class to explain; None = the most probable class.

        Raises:
            NotExplainable, BadParameter: as `check`.
            BundleError: a file of the bundle cannot be read, or was replaced.
        """
        self.check(label)
        best = int(probabilities.argmax())
        index = best if label is None else self._classes.index(label)
        evidence = self._model.run(image)
        known = self._training_pictures
        return Explanation(
            self._classes[index],
            float(probabilities[index]),
            normalize(evidence.heat_maps[..., index]),
            known.nearest(evidence.embedding, NEAREST) if known else (),
            image,
        )

    @cached_property
    def _model(self) -> HeatMapModel:
        return HeatMapModel(self._bundle.content(MODEL), self._bundle.content(HEAT_MAPS))
