"""Novelty: how unlike the pictures that a model was trained on a picture is.

Three signals say that a picture is unusual: the entropy of its probabilities; the distance of its
embedding to the nearest embeddings of training pictures, the references; and this distance compared
with the distances of those references to their own neighbours (local outlier factor, Breunig et al.
2000). Each is compared with the signals of the validation pictures, which gives a p-value. Fisher's
method combines the p-values: a single small one is enough to make a picture novel.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import NOVELTY, Manifest
from service.bundle.reading import Bundle
from service.engine.classification import ModelOutputs
from service.engine.references import References

SIGNALS: Final = ("entropy", "distance", "relative distance")
_TAIL_SHARE: Final = 0.1
_MIN_TAIL: Final = 5
"""The highest values of the validation pictures, this share or number, say how wide the tail is."""
_ARRAYS: Final = ("centre", "components", "positions", "heights", "spacings")


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
        with bundle.arrays(NOVELTY) as arrays:
            novelty = cls._from_arrays(arrays)
            novelty._check(bundle.manifest)
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
        signals = measure_signals(self.references, outputs)
        return 1 - self._total.p_values(combine(self._scales, signals))

    @cached_property
    def _scales(self) -> tuple[Scale, ...]:
        return tuple(map(Scale, self.signals))

    @cached_property
    def _total(self) -> Scale:
        return Scale(self.totals)

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Novelty:
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


def measure_signals(references: References, outputs: ModelOutputs) -> NDArray[np.float64]:
    """Return the SIGNALS (3, N) of pictures; the entropy is in nats."""
    probabilities = np.maximum(outputs.probabilities, 1e-12, dtype=np.float64)
    entropies = -np.einsum("nc,nc->n", probabilities, np.log(probabilities))
    indexes, distances = references.nearest(outputs.embeddings, references.neighbours)
    sums = distances.sum(axis=1, dtype=np.float64)
    usual = references.spacings[indexes].sum(axis=1, dtype=np.float64)
    return np.stack([np.maximum(entropies, 0), sums, sums / np.maximum(usual, 1e-12)])


@dataclass(frozen=True)
class Scale:
    """Compares values with those of the validation pictures.

    Attributes:
        known: (m,) float64, the values of the validation pictures, in ascending order, at least 0.
    """

    known: NDArray[np.float64]

    def p_values(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for each value (N,) the share of pictures whose value is at least as high.

        Between known values, the share is interpolated. Beyond the highest one, it falls as
        1 / (1 + excess / spread), so it never becomes 0. The spread is the mean excess of the
        highest known values over the value below them.
        """
        # Not numpy.interp: its calls would take half of the time for one picture.
        return np.array([self._p_value(value) for value in values.tolist()])

    def _p_value(self, value: float) -> float:
        known, shares = self._steps
        place = bisect_right(known, value)
        if place == len(known):
            return shares[-1] / (1 + (value - known[-1]) / self._spread)
        if place == 0:
            return 1.0
        low, high = known[place - 1], known[place]
        share, next_share = shares[place - 1], shares[place]
        return share + (next_share - share) * (value - low) / (high - low)

    @cached_property
    def _steps(self) -> tuple[list[float], list[float]]:
        """The different known values, and the share of pictures with at least this value."""
        first = np.flatnonzero(np.diff(self.known, prepend=-1))  # of several equal values
        shares = 1 - first / (len(self.known) + 1)
        return self.known[first].tolist(), shares.tolist()

    @cached_property
    def _spread(self) -> float:
        size = max(_MIN_TAIL, round(_TAIL_SHARE * len(self.known)))
        spread = float((self.known[-size:] - self.known[-size - 1 :][0]).mean())
        return max(spread, 1e-3 * float(self.known[-1]), 1e-9)


def combine(scales: Sequence[Scale], signals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Combine the signals (3, N) of pictures by Fisher's method: the sum (N,) of -log(p)."""
    surprises = [
        -np.log(scale.p_values(values)) for scale, values in zip(scales, signals, strict=True)
    ]
    total: NDArray[np.float64] = np.sum(surprises, axis=0)
    return total
