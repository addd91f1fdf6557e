"""Which pictures show the same shot: copies of a file, and copies re-encoded, resized or retouched.

Candidates are found by a perceptual hash that is not rounded to bits: the 8 x 8 lowest
frequencies of a thumbnail (as in pHash), each weighted by its frequency because natural pictures
have little energy in high ones, compared by their cosine. A candidate is a duplicate when one
thumbnail, moved and scaled by about a pixel and with another brightness and contrast, explains the
other (least squares), all but a few gray levels and no single spot: photos of parts on one stand,
the one good and the other scratched, are two pictures. CONTRIBUTING.md has the measured rates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from trainers import code_identity, components
from trainers.cache import Cache, Recipe
from trainers.looking import SIDE

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

CANDIDATE = 0.8
"""Least cosine of two perceptual hashes."""
SAME = 0.97
"""Least correlation of two aligned thumbnails."""
ERROR, MOST_ERROR = 2.0, 7.0
"""Largest unexplained difference, in gray levels (root mean square), of pictures that lie pixel on
pixel in the same light, and of any."""
ERROR_PER_PIXEL, FREE_PIXELS, ERROR_PER_CONTRAST = 12.0, 0.2, 30.0
"""What a move, in pixels of a thumbnail, and a contrast, as a logarithm, add to that."""
SPOT, SPOT_TO_MEAN = 20.0, 10.5
"""A difference at one place that makes another picture: in gray levels, and to the root mean square
of all. Brightening that saturates colours leaves smaller ones."""
MIN_CONTRAST = 3.0
"""Standard deviation in gray levels below which a thumbnail says nothing: open sea, blank paper.
Such pictures are duplicates only as copies of a file."""
PLAIN, PLAIN_LEVELS = 0.85, 2
"""Share of a thumbnail within so many gray levels of its median, from which on it is a small mark
on plain ground: an arrow, a letter. Moved and scaled, most marks explain each other, so these are
duplicates only as copies of a file, too."""
MOST_CANDIDATES = 16
"""Per picture, nearest first: bounds the work where all pictures look alike (parts on a stand)."""
_BLOCK = 2048
_FREQUENCIES = 8
_BORDER = 2
"""Pixels of a thumbnail that the other, moved, may not show."""
_UPRIGHT = (False, 1, 1)
_TURNS = [(swap, *signs) for swap in (False, True) for signs in product((1, -1), (1, -1))]
"""The eight ways to lay a picture down: columns for rows or not, and which way each runs."""


def find_groups(
    digests: Sequence[str], looks: NDArray[np.void], labels: Rows, cache: Cache
) -> Rows:
    """As `groups`; pictures that were compared before, these and no others in the same classes, are
    not again."""
    names, first, own = np.unique(digests, return_index=True, return_inverse=True)
    lowest = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(lowest, own, labels)  # of copies in several classes, whatever their order

    def recipe() -> Recipe:
        with cache.progress.step("comparing pictures"):
            found = groups(names.tolist(), looks[first], lowest)
        return Recipe((), np.int64, lambda positions: found[positions])

    pictures = hashlib.sha256("\n".join(map(str, [*names, *lowest])).encode()).hexdigest()
    keys = [bytes.fromhex(name) for name in names]
    found = cache.fill("groups", f"{code_identity.identity(__name__)} {pictures}", keys, recipe)[:]
    _, rows, group = np.unique(found[own], return_index=True, return_inverse=True)
    return rows[group]


def groups(digests: Sequence[str], looks: NDArray[np.void], labels: Rows) -> Rows:
    """The group of each picture (N,): the row of its first duplicate, or its own.

    Mirrored or turned pictures are duplicates only within a class (labels, (N,)): which way
    something points may be what tells classes apart.

    Groups are connected components, so they can only grow when pictures are added: a limit to
    their size would tear duplicates apart again. Time grows with the square of N (10,000 pictures
    take 2 to 6 seconds on two cores, 100,000 a few minutes), memory with N.
    """
    first: dict[str, int] = {}
    found = np.array([first.setdefault(one, row) for row, one in enumerate(digests)], np.int64)
    rows = np.array([first[digest] for digest in sorted(first)], np.int64)  # by content
    rows = rows[_has_detail(looks["thumbnail"][rows])]
    thumbnails = looks["thumbnail"][rows]
    hashes = perceptual_hashes(thumbnails)
    for turn in _TURNS:
        turned = _turned(thumbnails, turn)
        turned_hashes = perceptual_hashes(turned)
        for start in range(0, len(rows), _BLOCK):
            one, other = _candidates(hashes, turned_hashes[start : start + _BLOCK], start)
            if turn != _UPRIGHT:
                of_one_class = labels[rows[one]] == labels[rows[other]]
                one, other = one[of_one_class], other[of_one_class]
            for part in range(0, len(one), _BLOCK):
                pairs = one[part : part + _BLOCK], other[part : part + _BLOCK]
                found = _joined(found, rows, (turned, thumbnails), pairs)
    return found


def _has_detail(thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether thumbnails (N, SIDE, SIDE) show enough to be told by (N,)."""
    pixels = thumbnails.reshape(-1, SIDE**2)
    median = np.median(pixels, axis=1, keepdims=True).astype(np.int16)
    plain = (np.abs(pixels - median) <= PLAIN_LEVELS).mean(axis=1)
    enough: NDArray[np.bool_] = (pixels.std(axis=1) >= MIN_CONTRAST) & (plain < PLAIN)
    return enough


def _turned(thumbnails: NDArray[np.uint8], turn: tuple[bool, int, int]) -> NDArray[np.uint8]:
    swap, down, across = turn
    return (thumbnails.transpose(0, 2, 1) if swap else thumbnails)[:, ::down, ::across]


def perceptual_hashes(thumbnails: NDArray[np.uint8]) -> Floats:
    """Weighted low frequencies (N, 64) of thumbnails (N, SIDE, SIDE), each of length 1."""
    waves = np.cos(np.pi * (np.arange(SIDE) + 0.5) * np.arange(_FREQUENCIES)[:, None] / SIDE)
    waves[0] *= np.sqrt(0.5)
    waves = waves.astype(np.float32)
    found = waves @ thumbnails.astype(np.float32) @ waves.T
    found *= np.hypot(*np.mgrid[:_FREQUENCIES, :_FREQUENCIES]).astype(np.float32)  # 0 for the mean
    flat: Floats = found.reshape(-1, _FREQUENCIES**2)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return flat


def _candidates(hashes: Floats, block: Floats, start: int) -> tuple[Rows, Rows]:
    """Pairs of a row of `block`, whose first is row `start`, and a later row of `hashes`."""
    ones, others, cosines = [], [], []
    for stop in range(start, len(hashes), _BLOCK):
        found = block @ hashes[stop : stop + _BLOCK].T
        if start == stop:
            found = np.triu(found, k=1)
        least = np.full((len(found), 1), CANDIDATE, np.float32)
        if np.count_nonzero(found >= least) > MOST_CANDIDATES * len(found):  # they look alike
            nearest = np.partition(found, -MOST_CANDIDATES, axis=1)[:, -MOST_CANDIDATES, None]
            least = np.maximum(least, nearest)
        one, other = np.divmod(np.flatnonzero(found >= least), found.shape[1])
        ones.append(one)
        others.append(other + stop)
        cosines.append(found[one, other])
    one, other = np.concatenate(ones), np.concatenate(others)
    chosen = _nearest(one, np.concatenate(cosines))
    return one[chosen] + start, other[chosen]


def _nearest(one: Rows, cosines: Floats) -> Rows:
    """Which pairs to keep: the MOST_CANDIDATES nearest of each row."""
    order = np.lexsort((-cosines, one))
    counts = np.bincount(one)
    place = np.arange(len(one)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[place < MOST_CANDIDATES]


def _joined(
    groups: Rows,
    rows: Rows,
    thumbnails: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    pairs: tuple[Rows, Rows],
) -> Rows:
    """Join the pairs that are duplicates; those that are joined already need no comparison."""
    apart = groups[rows[pairs[0]]] != groups[rows[pairs[1]]]
    one, other = pairs[0][apart], pairs[1][apart]
    same = is_same(thumbnails[0][one], thumbnails[1][other])
    return components.join(groups, rows[one[same]], rows[other[same]]) if same.any() else groups


def is_same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether thumbnails (M, SIDE, SIDE) show the same shots, pair by pair (M,)."""
    there, there_error, there_found = _fit(one, other)
    back, back_error, back_found = _fit(other, one)
    # What was done there is undone on the way back; what noise only seems to have done is not.
    contrast, *moves = np.abs(there - back).T / 2
    allowed = ERROR + ERROR_PER_CONTRAST * contrast
    allowed += ERROR_PER_PIXEL * np.maximum(np.max(moves, axis=0) - FREE_PIXELS, 0)
    error = np.maximum(there_error, back_error)
    same: NDArray[np.bool_] = there_found & back_found & (error <= np.minimum(allowed, MOST_ERROR))
    return same


def _fit(
    one: NDArray[np.uint8], other: NDArray[np.uint8]
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """`other` = a + b * `one`, moved and scaled: solved for all pairs at once, to first order.

    Returns:
        log b and the moves in pixels (M, 5), the error in gray levels (M,), and whether the pair
        correlates and differs at no single spot (M,).
    """
    source, target = _blurred(one), _blurred(other)
    down, across = np.gradient(source, axis=(1, 2))
    place = np.linspace(-1, 1, SIDE, dtype=np.float32)
    ones = np.ones_like(source)
    terms = [ones, source, across, across * place, down, down * place[:, None]]
    inner = slice(_BORDER, -_BORDER)
    pixels = (SIDE - 2 * _BORDER) ** 2
    x = np.stack(terms, axis=1)[:, :, inner, inner].reshape(-1, len(terms), pixels)
    y = target[:, inner, inner].reshape(-1, pixels)
    normal = (x @ x.transpose(0, 2, 1)).astype(np.float64)
    normal += 1e-3 * np.eye(len(terms))  # a ridge: never singular
    weights = np.linalg.solve(normal, (x @ y[:, :, None]).astype(np.float64)).astype(np.float32)
    rest = y - (weights.transpose(0, 2, 1) @ x)[:, 0].clip(0, 255)
    error = rest.std(axis=1)
    share = 1 - (error / np.maximum(y.std(axis=1), 1e-6)) ** 2
    peak = np.abs(rest).max(axis=1)
    has_spot = (peak > SPOT) & (peak > SPOT_TO_MEAN * error)
    found: NDArray[np.bool_] = (share >= SAME**2) & (weights[:, 1, 0] > 0) & ~has_spot
    contrast = np.maximum(weights[:, 1], 0.01)
    return np.concatenate([np.log(contrast), weights[:, 2:, 0] / contrast], axis=1), error, found


def _blurred(thumbnails: NDArray[np.uint8]) -> Floats:
    """With weights 1 2 1 in both directions: a slope then says where a small move leads."""
    padded = np.pad(thumbnails.astype(np.float32), ((0, 0), (1, 1), (1, 1)), "edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    blurred: Floats = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / np.float32(16)
    return blurred
