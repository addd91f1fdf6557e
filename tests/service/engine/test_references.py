from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import service.engine.references
from service.engine.references import References

RNG = np.random.default_rng(0)


def colours(count: int, spread: float = 0.15) -> NDArray[np.float32]:
    """Embeddings of the tiny model for nearly red pictures."""
    return (np.array([1, 0.2, 0.1]) + RNG.normal(0, spread, (count, 3))).astype(np.float32)


def references(embeddings: NDArray[np.float32], size: int = 3) -> References:
    components = np.eye(3, size, dtype=np.float32)
    empty = np.zeros(0, np.float32)
    count = len(embeddings)
    bare = References(np.arange(count), np.zeros(3, np.float32), components, empty, empty, empty, 5)
    positions, heights = bare.project(embeddings)
    spacings = np.full(count, 0.01, np.float32)
    return replace(bare, positions=positions.T.copy(), heights=heights, spacings=spacings)


def test_the_nearest_references_are_those_of_the_normalised_embeddings() -> None:
    embeddings, pictures = colours(40), 7 * colours(5)
    lengths = np.linalg.norm(embeddings, axis=1), np.linalg.norm(pictures, axis=1)
    angles = (pictures @ embeddings.T) / np.outer(lengths[1], lengths[0])
    nearest = references(embeddings).nearest(pictures, 4)
    order = np.argsort(-angles, axis=1)[:, :4]
    assert nearest.indexes.tolist() == order.tolist()
    expected = 2 - 2 * np.take_along_axis(angles, order, axis=1)
    np.testing.assert_allclose(nearest.distances, expected, atol=1e-5)
    assert references(embeddings[:3]).nearest(pictures, 4).indexes.shape == (5, 3)


def test_pictures_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """All distances of many pictures would not fit into memory."""
    known, pictures = references(colours(40)), colours(8)
    expected = known.nearest(pictures, 4)
    monkeypatch.setattr(service.engine.references, "_BLOCK", 3)
    nearest = known.nearest(pictures, 4)
    np.testing.assert_array_equal(nearest.indexes, expected.indexes)
    np.testing.assert_allclose(nearest.distances, expected.distances, atol=1e-6)
    assert known.nearest(pictures[:0], 4).indexes.shape == (0, 4)


def test_directions_outside_the_components_count_as_perpendicular() -> None:
    known = references(np.array([[1, 0, 0], [1, 0, 1]], np.float32), size=2)
    distances = known.nearest(np.array([[0, 0, 1]], np.float32), 2).distances
    half = np.sqrt(0.5)
    np.testing.assert_allclose(distances, [[half**2 + 1 + half**2, 2]], atol=1e-6)
