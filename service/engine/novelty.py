"""Novelty: how unlike the pictures that a model was trained on a picture is.

Three signals say that a picture is unusual: the entropy of its probabilities; the distance of its
embedding to the nearest embeddings of training pictures, the references; and this distance compared
with the distances of those references to their own neighbours (local outlier factor, Breunig et al.
2000). Each is compared with the signals of the validation pictures, which gives a p-value. Fisher's
method combines the p-values: a single small one is enough to make a picture novel.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import NOVELTY, Manifest
from service.bundle.reading import Bundle
from service.engine.classification import ModelOutputs
from service.errors import BundleError

SIGNALS: Final = ("entropy", "distance", "relative distance")
_TAIL_SHARE: Final = 0.1
_MIN_TAIL: Final = 5
"""The highest values of the validation pictures, this share or number, say how wide the tail is."""
_ARRAYS: Final = ("centre", "components", "positions", "heights", "spacings")


class Neighbours(NamedTuple):
    """The nearest references of N pictures, nearest first.

    Attributes:
        indexes: (N, count) int64, indexes of the references.
        distances: (N, count) float32, squared distances of the normalised embeddings, 0 to 4.
    """

    indexes: NDArray[np.int64]
    distances: NDArray[np.float32]


@dataclass(frozen=True)
class References:
    """The embeddings of some training pictures, normalised to length 1 and projected.

    Attributes:
        rows: (n,) int64, the row of each picture in split.csv, counted from 0 without the header.
        centre: (D,) float32, the mean of the normalised embeddings.
        components: (D, r) float32, orthonormal: their principal components.
        positions: (r, n) float32, their coordinates along the components.
        heights: (n,) float32, their squared distances from the space of the components.
        spacings: (n,) float32, the mean squared distance of each to its nearest other references.
        neighbours: number of nearest references whose distances are averaged.
    """

    rows: NDArray[np.int64]
    centre: NDArray[np.float32]
    components: NDArray[np.float32]
    positions: NDArray[np.float32]
    heights: NDArray[np.float32]
    spacings: NDArray[np.float32]
    neighbours: int

    def nearest(self, embeddings: NDArray[np.float32], count: int) -> Neighbours:
        """Find the `count` nearest references of embeddings (N, D); all if there are fewer."""
        return self.nearest_to(*self.project(embeddings), count)

    def nearest_to(
        self, positions: NDArray[np.float32], heights: NDArray[np.float32], count: int
    ) -> Neighbours:
        """Find the nearest references of projected embeddings, as from `project`.

        Outside the space of the components, all directions count as perpendicular.
        """
        # Not `@`: the threads of BLAS wait for each other if the cores are busy, for up to 30 ms.
        products = np.einsum("nr,rm->nm", positions, self.positions)
        ends = np.einsum("nr,nr->n", positions, positions) + heights
        distances = np.maximum(ends[:, np.newaxis] + self._ends - 2 * products, 0)
        count = min(count, len(self.rows))
        indexes = np.argpartition(distances, count - 1, axis=1)[:, :count]
        chosen = np.take_along_axis(distances, indexes, axis=1)
        order = chosen.argsort(axis=1, kind="stable")
        return Neighbours(
            np.take_along_axis(indexes, order, axis=1), np.take_along_axis(chosen, order, axis=1)
        )

    def project(
        self, embeddings: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the coordinates (N, r) of embeddings (N, D), and their heights (N,)."""
        centred = normalize(embeddings) - self.centre
        positions = np.einsum("nd,dr->nr", centred, self.components)
        lengths = np.einsum("nd,nd->n", centred, centred)
        heights = np.maximum(lengths - np.einsum("nr,nr->n", positions, positions), 0)
        return positions, heights

    @cached_property
    def _ends(self) -> NDArray[np.float32]:
        """(n,) squared distances of the references from the centre."""
        ends: NDArray[np.float32] = (self.positions**2).sum(axis=0) + self.heights
        return ends


@dataclass(frozen=True)
class Novelty:
    """Measures the novelty of pictures from the outputs of the model.

    Attributes:
        references: the training pictures to which pictures are compared.
        signals: (3, m) float64, the signals of validation pictures, each row in ascending order.
        totals: (m,) float64, their combined signals, in ascending order.
    """

    references: References
    signals: NDArray[np.float64]
    totals: NDArray[np.float64]

    @classmethod
    def read(cls, bundle: Bundle) -> Novelty | None:
        """Read the file of a bundle; None if it has none, as older bundles.

        Raises:
            BundleError: the file is damaged, or does not fit the model.
        """
        if NOVELTY not in bundle.manifest.files:
            return None
        try:
            with np.load(io.BytesIO(bundle.content(NOVELTY)), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            novelty = cls._from_arrays(arrays)
            novelty._check(bundle.manifest)
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise BundleError(
                f"{bundle.path / NOVELTY} is damaged ({error}); train the model again"
            ) from error
        return novelty

    def to_bytes(self) -> bytes:
        """Return the content of the file that `read` reads: about 0.7 MB for 4,000 references."""
        known, buffer = self.references, io.BytesIO()
        np.savez(
            buffer,
            rows=known.rows,
            centre=known.centre,
            components=known.components.astype(np.float16),
            positions=known.positions.astype(np.float16),
            heights=known.heights,
            spacings=known.spacings,
            neighbours=known.neighbours,
            signals=self.signals,
            totals=self.totals,
        )
        return buffer.getvalue()

    def measure(self, outputs: ModelOutputs) -> NDArray[np.float64]:
        """Return the novelty (N,) of pictures, 0 to 1.

        This is the share of validation pictures whose combined signal is lower. Beyond the highest
        of them, it goes on rising towards 1, so that even very novel pictures can be ordered.
        """
        totals = combine(self.signals, measure_signals(self.references, outputs))
        return 1 - p_values(self.totals, totals)

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Novelty:
        references = References(
            rows=arrays["rows"].astype(np.int64),
            neighbours=int(arrays["neighbours"]),
            **{name: np.ascontiguousarray(arrays[name], np.float32) for name in _ARRAYS},
        )
        return cls(references, *(arrays[name].astype(np.float64) for name in ("signals", "totals")))

    def _check(self, manifest: Manifest) -> None:
        """Raise ValueError unless the arrays fit together and to the model."""
        known = self.references
        n, m, r = len(known.rows), len(self.totals), known.components.shape[-1]
        widths = {output.name: output.shape[-1] for output in manifest.outputs}
        if known.neighbours < 1:
            raise ValueError(f"neighbours is {known.neighbours}")
        shapes: dict[str, tuple[NDArray[Any], tuple[Any, ...]]] = {
            "centre": (known.centre, (widths["embedding"],)),
            "components": (known.components, (widths["embedding"], r)),
            "positions": (known.positions, (r, n)),
            "heights": (known.heights, (n,)),
            "spacings": (known.spacings, (n,)),
            "signals": (self.signals, (len(SIGNALS), m)),
            "totals": (self.totals, (m,)),
        }
        for name, (array, shape) in shapes.items():
            if array.shape != shape or not array.size:
                raise ValueError(f"{name} has the shape {array.shape} instead of {shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} has numbers that are not finite")


def normalize(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return embeddings (N, D) with length 1."""
    lengths = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
    normalised: NDArray[np.float32] = embeddings / np.maximum(lengths, 1e-12)[:, np.newaxis]
    return normalised


def measure_signals(references: References, outputs: ModelOutputs) -> NDArray[np.float64]:
    """Return the SIGNALS (3, N) of pictures; the entropy is in nats."""
    probabilities = np.clip(outputs.probabilities.astype(np.float64), 1e-12, 1)
    entropies = -(probabilities * np.log(probabilities)).sum(axis=1)
    indexes, distances = references.nearest(outputs.embeddings, references.neighbours)
    mean = distances.mean(axis=1, dtype=np.float64)
    usual = references.spacings[indexes].mean(axis=1, dtype=np.float64)
    return np.stack([entropies, mean, mean / np.maximum(usual, 1e-12)])


def combine(known: NDArray[np.float64], signals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Combine the signals (3, N) of pictures by Fisher's method: the sum (N,) of -log(p).

    Args:
        known: (3, m) the signals of validation pictures, each row in ascending order.
    """
    surprises = [-np.log(p_values(row, values)) for row, values in zip(known, signals, strict=True)]
    total: NDArray[np.float64] = np.sum(surprises, axis=0)
    return total


def p_values(known: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each value (N,) the share of pictures whose value is at least as high.

    Between known values, the share is interpolated. Beyond the highest one, it falls as
    1 / (1 + excess / spread), so it never becomes 0. The spread is the mean excess of the highest
    known values over the value below them.

    Args:
        known: (m,) the values of the pictures, at least 0, in ascending order.
    """
    count = len(known)
    first = np.flatnonzero(np.diff(known, prepend=-1))  # of several equal values
    shares = np.interp(values, known[first], 1 - first / (count + 1))
    size = max(_MIN_TAIL, round(_TAIL_SHARE * count))
    spread = float((known[-size:] - known[-size - 1 :][0]).mean())
    excess = np.maximum(values - known[-1], 0) / max(spread, 1e-3 * float(known[-1]), 1e-9)
    falling: NDArray[np.float64] = shares / (1 + excess)
    return falling
