"""Fits the references and the scales of `service.engine.novelty.Novelty`.

The references are the embeddings of training pictures, reduced by principal component analysis. The
scales are the signals of the validation pictures, which the model was not trained on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.engine.classification import ModelOutputs
from service.engine.novelty import Novelty, Scale, combine, measure_signals
from service.engine.references import References, normalize
from trainers.resources.blas_threads import one_blas_thread

MAX_COMPONENTS = 64
NEIGHBOURS = 10
"""Number of nearest references whose distances are averaged."""
MIN_SPACING = 0.1
"""The smallest spacing of a reference, as a share of the median."""
MAX_SIGNALS = 1000
"""The file has the signals of at most this number of validation pictures."""


def fit_references(embeddings: NDArray[np.float32], rows: NDArray[np.int64]) -> References:
    """Reduce embeddings (n, D) of training pictures, at least 2, to references.

    Args:
        rows: (n,) the row of each picture in the dataset.
    """
    from sklearn.decomposition import PCA

    normalised = normalize(embeddings)
    size = min(MAX_COMPONENTS, len(rows) - 1, embeddings.shape[1])
    solver = PCA(size, svd_solver="randomized", iterated_power=2, random_state=0)
    with one_blas_thread():
        solver.fit(normalised)
    components = _as_stored(solver.components_.T)
    empty = np.zeros(0, np.float32)
    references = References(
        rows, solver.mean_.astype(np.float32), components, empty, empty, empty, NEIGHBOURS
    )
    positions, heights = references.project(embeddings)
    references = replace(references, positions=_as_stored(positions.T), heights=heights)
    return replace(references, spacings=_measure_spacings(references))


def _measure_spacings(references: References) -> NDArray[np.float32]:
    count = min(references.neighbours, len(references.rows) - 1)
    nearest = references.nearest_to(references.positions.T, references.heights, count + 1)
    # The nearest one is the picture itself; so it has twice its height as a distance.
    usual = nearest.distances[:, 1:].mean(axis=1)
    # Copies of pictures have hardly any distance: other pictures would seem far from them.
    floor: NDArray[np.float32] = np.maximum(usual, MIN_SPACING * np.median(usual))
    return floor


def fit_novelty(references: References, validation: ModelOutputs) -> Novelty:
    """Fit the scales of the novelty.

    Args:
        validation: what the model outputs for at least one validation picture.
    """
    signals = measure_signals(references, validation)
    known = _thin_out(np.sort(signals, axis=1))
    totals = np.sort(combine(list(map(Scale, known)), signals))
    return Novelty(references, known, _thin_out(totals))


def _thin_out(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep at most MAX_SIGNALS of the values (..., m) at equal distances, with the highest one."""
    count = values.shape[-1]
    if count <= MAX_SIGNALS:
        return values
    kept = np.ceil(np.arange(1, MAX_SIGNALS + 1) * count / MAX_SIGNALS).astype(np.int64) - 1
    return values[..., kept]


def _as_stored(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Round to the precision of the file."""
    return np.ascontiguousarray(values, np.float16).astype(np.float32)
