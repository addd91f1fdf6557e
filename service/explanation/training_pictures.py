"""Find the training pictures that are most similar to a picture, with their paths and classes."""

from __future__ import annotations

import csv
import io
import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import SPLIT_TABLE, THUMBNAILS
from service.bundle.reading import Bundle
from service.engine.references import References


@dataclass(frozen=True)
class Neighbor:
    """A training picture that is similar to the explained picture.

    Attributes:
        path: relative to the folder of the training data.
        label: the class of the picture.
        similarity: cosine of the angle between the embeddings of both pictures, -1 to 1. It is
            estimated, because the bundle has reduced embeddings: see docs/decisions/serving.md.
        thumbnail: a small JPEG; None unless the model was trained with --keep-thumbnails.
    """

    path: str
    label: str
    similarity: float
    thumbnail: bytes | None = None


class TrainingPictures:
    """The training pictures of a bundle. Its files are read when they are first needed.

    Args:
        bundle: a bundle that `Bundle.read` has verified.
        references: the embeddings of its training pictures.
    """

    def __init__(self, bundle: Bundle, references: References) -> None:
        self._bundle, self._references = bundle, references

    def nearest(self, embedding: NDArray[np.float32], count: int) -> tuple[Neighbor, ...]:
        """Return the training pictures that are most similar to a picture, most similar first.

        Args:
            embedding: (features,) float32, the embedding of the picture.
            count: number of pictures; fewer if the bundle has fewer.

        Raises:
            BundleError: a file of the bundle is damaged, cannot be read, or was replaced.
        """
        references = self._references
        indexes, distances = references.nearest(embedding[np.newaxis], count)
        rows = references.rows[indexes[0]].tolist()
        similarities = (1 - distances[0] / 2).tolist()  # of squared distances of unit vectors
        return tuple(map(self._describe, rows, similarities))

    def _describe(self, row: int, similarity: float) -> Neighbor:
        path, label = self._names[row]
        return Neighbor(path, label, similarity, self._thumbnails.get(row))

    @cached_property
    def _names(self) -> list[tuple[str, str]]:
        """The path and the class of each picture, in the order of the split table."""
        text = self._bundle.content(SPLIT_TABLE).decode("utf-8")
        return [(row["path"], row["class"]) for row in csv.DictReader(io.StringIO(text))]

    @cached_property
    def _thumbnails(self) -> dict[int, bytes]:
        """The thumbnails by row of the split table; empty if the bundle has none."""
        if THUMBNAILS not in self._bundle.manifest.files:
            return {}
        with self._bundle.arrays(THUMBNAILS) as arrays:
            rows, ends, jpegs = (arrays[name] for name in ("rows", "ends", "jpegs"))
        spans = itertools.pairwise([0, *ends.tolist()])
        return {
            row: jpegs[start:end].tobytes()
            for row, (start, end) in zip(rows.tolist(), spans, strict=True)
        }
