"""Describe training pictures: their paths and classes, and thumbnails if the bundle has them."""

from __future__ import annotations

import csv
import io
import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from service.bundle.manifest import SPLIT_TABLE, THUMBNAILS
from service.bundle.reading import Bundle
from service.errors import BundleError


@dataclass(frozen=True)
class Neighbor:
    """A training picture that is similar to the explained picture.

    Attributes:
        path: relative to the folder of the training data.
        label: the class of the picture.
        similarity: cosine of the angle between the embeddings of both pictures, -1 to 1.
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
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def describe(self, row: int, similarity: float) -> Neighbor:
        """Describe the picture of a row of the split table.

        Raises:
            BundleError: a file of the bundle cannot be read, or was replaced.
        """
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
        content = io.BytesIO(self._bundle.content(THUMBNAILS))
        try:
            with np.load(content, allow_pickle=False) as arrays:
                rows, ends, jpegs = (arrays[name] for name in ("rows", "ends", "jpegs"))
        except (ValueError, KeyError, OSError) as error:
            raise BundleError(
                f"{self._bundle.path / THUMBNAILS} is damaged ({error}); train the model again"
            ) from error
        spans = itertools.pairwise([0, *ends.tolist()])
        return {
            row: jpegs[start:end].tobytes()
            for row, (start, end) in zip(rows.tolist(), spans, strict=True)
        }
