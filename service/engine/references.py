"""References: embeddings of training pictures, among which the nearest to a picture are found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK: Final = 256
"""Pictures whose distances to all references are in memory at the same time."""


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
        parts = [
            self._nearest(positions[start : start + _BLOCK], heights[start : start + _BLOCK], count)
            for start in range(0, max(1, len(positions)), _BLOCK)
        ]
        return Neighbours(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _nearest(
        self, positions: NDArray[np.float32], heights: NDArray[np.float32], count: int
    ) -> Neighbours:
        # Not `@`: the threads of BLAS wait for each other if the cores are busy, for up to 30 ms.
        distances = np.einsum("nr,rm->nm", -2 * positions, self.positions)
        distances += self._ends
        distances += (np.einsum("nr,nr->n", positions, positions) + heights)[:, np.newaxis]
        count = min(count, len(self.rows))
        pictures = np.arange(len(positions))[:, np.newaxis]
        indexes = distances.argpartition(count - 1, axis=1)[:, :count]
        order = distances[pictures, indexes].argsort(axis=1, kind="stable")
        indexes = indexes[pictures, order]
        return Neighbours(indexes, np.maximum(distances[pictures, indexes], 0))

    def project(
        self, embeddings: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the coordinates (N, r) of embeddings (N, D), and their heights (N,)."""
        # The mean is subtracted from the products, because embeddings are much longer than those.
        lengths = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
        products = np.einsum("nd,dr->nr", embeddings, self._axes)
        products /= np.maximum(lengths, 1e-12)[:, np.newaxis]
        products -= self._centre_products
        positions = products[:, 1:]
        # |x - c|^2 = |x|^2 - |c|^2 - 2 (x - c) c
        squares = (lengths > 1e-12) - self._centre_products[0] - 2 * products[:, 0]
        heights = squares - np.einsum("nr,nr->n", positions, positions)
        return positions, np.maximum(heights, 0, dtype=np.float32)

    @cached_property
    def _axes(self) -> NDArray[np.float32]:
        """(D, 1 + r) the centre and the components."""
        return np.column_stack([self.centre, self.components])

    @cached_property
    def _centre_products(self) -> NDArray[np.float32]:
        """(1 + r,) the products of the centre with itself and with the components."""
        products: NDArray[np.float32] = np.einsum("d,dr->r", self.centre, self._axes)
        return products

    @cached_property
    def _ends(self) -> NDArray[np.float32]:
        """(n,) squared distances of the references from the centre."""
        ends: NDArray[np.float32] = (self.positions**2).sum(axis=0) + self.heights
        return ends


def normalize(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return embeddings (N, D) with length 1."""
    lengths = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
    normalised: NDArray[np.float32] = embeddings / np.maximum(lengths, 1e-12)[:, np.newaxis]
    return normalised
