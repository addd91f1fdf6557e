"""The reference of drift: what the pictures were like with which a model was trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import DRIFT, Manifest
from service.bundle.reading import Bundle


@dataclass(frozen=True)
class DriftReference:
    """Statistics of training and validation pictures, to which the pictures of the service compare.

    Attributes:
        projection: (D, r) float32. It projects embeddings to r directions, in which the embeddings
            of training pictures of one class vary with variance 1, independently.
        class_means: (classes, r) float32, the mean of the projected embeddings of each class.
        class_counts: (classes,) float32, the number of training pictures behind each mean, >= 1.
        class_shares: (classes,) float32, the share of each class among the training pictures, > 0.
        score_mean, score_deviation: mean and standard deviation of the scores (the highest
            probabilities) of validation pictures, each an array without dimensions.
        score_count: the number of these validation pictures, an array without dimensions.
    """

    projection: NDArray[np.float32]
    class_means: NDArray[np.float32]
    class_counts: NDArray[np.float32]
    class_shares: NDArray[np.float32]
    score_mean: NDArray[np.float32]
    score_deviation: NDArray[np.float32]
    score_count: NDArray[np.float32]

    @classmethod
    def read(cls, bundle: Bundle) -> DriftReference | None:
        """Read the reference in a bundle; None if it has none, as older bundles.

        Raises:
            BundleError: the file is damaged, or does not fit the model.
        """
        if DRIFT not in bundle.manifest.files:
            return None
        with bundle.arrays(DRIFT) as arrays:
            reference = cls(**{field.name: arrays[field.name] for field in fields(cls)})
            reference._check(bundle.manifest)
        return reference

    def write(self, path: Path) -> None:
        """Write the file that `read` reads."""
        with path.open("wb") as file:
            np.savez(file, **asdict(self))

    def _check(self, manifest: Manifest) -> None:
        """Raise ValueError unless the arrays are valid, and fit together and to the model."""
        classes, rank = len(manifest.classes), self.projection.shape[-1:]
        width = {output.name: output.shape[-1] for output in manifest.outputs}["embedding"]
        shapes: dict[str, tuple[Any, ...]] = {
            "projection": (width, *rank),
            "class_means": (classes, *rank),
            "class_counts": (classes,),
            "class_shares": (classes,),
        }
        for name, array in asdict(self).items():
            if array.shape != shapes.get(name, ()) or not array.size:
                raise ValueError(f"{name} has the shape {array.shape}, not {shapes.get(name, ())}")
            if array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"{name} has values that are not finite float32 numbers")
        for name in ("class_counts", "class_shares", "score_deviation", "score_count"):
            if not (getattr(self, name) > 0).all():
                raise ValueError(f"{name} has values that are not above 0")
