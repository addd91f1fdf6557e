"""Groups duplicates: copies of a file, and copies that were re-encoded, resized or retouched.

A perceptual hash finds pairs that may be duplicates; `alignment` decides which of them are. Like
pHash, the hash holds the 8 x 8 lowest frequencies of a thumbnail, but as numbers instead of bits.
Each number is multiplied by its frequency, because photos have little energy in high frequencies.
Two hashes are compared by cosine similarity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from trainers.cache import code_identity
from trainers.cache.array_cache import Cache, Recipe
from trainers.dataset import connected_components
from trainers.dataset.alignment import are_duplicates
from trainers.dataset.inspection import THUMBNAIL_SIZE

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

MIN_COSINE = 0.8
"""Two pictures are aligned only if the cosine similarity of their perceptual hashes is at least
this."""
MIN_CONTRAST = 3.0
"""A picture is compared with others only if the standard deviation of its thumbnail is at least
this, in gray levels. Pictures with less contrast (open sea, blank paper) show too little detail, so
only copies of the same file count as their duplicates."""
MAX_PLAIN_SHARE, PLAIN_LEVELS = 0.85, 2
"""A picture is compared with others only if less than MAX_PLAIN_SHARE of its thumbnail's pixels are
within PLAIN_LEVELS gray levels of their median. If the share is larger, the picture shows a small
mark (an arrow, a letter) on a plain background. Moving and scaling can often align even different
marks, so only copies of the same file count as duplicates of such pictures."""
MAX_CANDIDATES = 16
"""In each orientation, a picture is aligned with at most this number of later pictures: those with
the most similar hashes. This limits the work if all pictures look alike."""
_BLOCK = 2048
_FREQUENCIES = 8
_UPRIGHT = (False, 1, 1)
_ORIENTATIONS = [(swap, *signs) for swap in (False, True) for signs in product((1, -1), (1, -1))]
"""The eight ways to turn and mirror a picture: whether to swap rows and columns, and the step (1 or
-1) along each axis."""


def find_duplicates(
    digests: Sequence[str], inspections: NDArray[np.void], labels: Rows, cache: Cache
) -> Rows:
    """Group duplicates as `group_duplicates` does, or take its result from the cache."""
    unique, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    lowest_labels = np.full(len(unique), np.iinfo(np.int64).max)
    np.minimum.at(lowest_labels, inverse, labels)  # copies of a file may be in several classes

    def recipe() -> Recipe:
        with cache.progress.step("comparing pictures"):
            groups = group_duplicates(unique.tolist(), inspections[first], lowest_labels)
        return Recipe((), np.int64, lambda positions: groups[positions])

    pictures = hashlib.sha256("\n".join(map(str, [*unique, *lowest_labels])).encode()).hexdigest()
    keys = [bytes.fromhex(digest) for digest in unique]
    dependencies = f"{code_identity.identity(__name__)} {pictures}"
    groups = cache.get_or_create("groups", dependencies, keys, recipe)[:]
    _, rows, group = np.unique(groups[inverse], return_index=True, return_inverse=True)
    return rows[group]


def group_duplicates(digests: Sequence[str], inspections: NDArray[np.void], labels: Rows) -> Rows:
    """Group pictures that are duplicates of each other.

    Mirrored or turned copies count as duplicates only within a class, because two classes may
    differ only in direction, such as left and right arrows. Groups are connected components without
    a size limit. So an added picture can enlarge or join groups. It can split a group only where
    MAX_CANDIDATES limits the comparisons. Time grows with N squared, memory with N.

    Args:
        digests: SHA-256 of the N files.
        inspections: (N,) records of `inspection.INSPECTION`.
        labels: (N,) int64, indices of classes.

    Returns:
        (N,) int64, for each picture the first row of its group.
    """
    first: dict[str, int] = {}
    groups = np.array(
        [first.setdefault(digest, row) for row, digest in enumerate(digests)], np.int64
    )
    rows = np.array([first[digest] for digest in sorted(first)], np.int64)  # independent of paths
    rows = rows[_has_detail(inspections["thumbnail"][rows])]
    thumbnails = inspections["thumbnail"][rows]
    hashes = perceptual_hashes(thumbnails)
    for orientation in _ORIENTATIONS:
        turned = _turn(thumbnails, orientation)
        turned_hashes = perceptual_hashes(turned)
        for start in range(0, len(rows), _BLOCK):
            left, right = _find_candidates(hashes, turned_hashes[start : start + _BLOCK], start)
            if orientation != _UPRIGHT:
                is_one_class = labels[rows[left]] == labels[rows[right]]
                left, right = left[is_one_class], right[is_one_class]
            for at in range(0, len(left), _BLOCK):
                pairs = left[at : at + _BLOCK], right[at : at + _BLOCK]
                groups = _join_duplicates(groups, rows, (turned, thumbnails), pairs)
    return groups


def _has_detail(thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each of the thumbnails (N, side, side) shows enough detail to compare; (N,) bool."""
    pixels = thumbnails.reshape(-1, THUMBNAIL_SIZE**2)
    median = np.median(pixels, axis=1, keepdims=True).astype(np.int16)
    plain_share = (np.abs(pixels - median) <= PLAIN_LEVELS).mean(axis=1)
    has_contrast = pixels.std(axis=1) >= MIN_CONTRAST
    has_detail: NDArray[np.bool_] = has_contrast & (plain_share < MAX_PLAIN_SHARE)
    return has_detail


def _turn(thumbnails: NDArray[np.uint8], orientation: tuple[bool, int, int]) -> NDArray[np.uint8]:
    swap, down, across = orientation
    return (thumbnails.transpose(0, 2, 1) if swap else thumbnails)[:, ::down, ::across]


def perceptual_hashes(thumbnails: NDArray[np.uint8]) -> Floats:
    """Compute the perceptual hashes (N, 64) of thumbnails (N, side, side).

    Each hash is a vector of weighted low frequencies, scaled to length 1.
    """
    places = np.arange(THUMBNAIL_SIZE) + 0.5
    waves = np.cos(np.pi * places * np.arange(_FREQUENCIES)[:, None] / THUMBNAIL_SIZE)
    waves[0] *= np.sqrt(0.5)
    waves = waves.astype(np.float32)
    spectrum = waves @ thumbnails.astype(np.float32) @ waves.T
    spectrum *= np.hypot(*np.mgrid[:_FREQUENCIES, :_FREQUENCIES]).astype(np.float32)  # mean: 0
    hashes: Floats = spectrum.reshape(-1, _FREQUENCIES**2)
    hashes /= np.maximum(np.linalg.norm(hashes, axis=1, keepdims=True), 1e-6)
    return hashes


def _find_candidates(hashes: Floats, block: Floats, start: int) -> tuple[Rows, Rows]:
    """Find pairs of similar hashes.

    Args:
        hashes: (N, 64), all hashes.
        block: (M, 64), the hashes of M consecutive rows, whose pictures may be turned or mirrored.
        start: the first of these rows.

    Returns:
        Two arrays (K,): for each of K pairs, a row of the block, and a later row of `hashes`.
    """
    lefts, rights, cosines = [], [], []
    for stop in range(start, len(hashes), _BLOCK):
        products = block @ hashes[stop : stop + _BLOCK].T
        if start == stop:
            products = np.triu(products, k=1)
        least = np.full((len(products), 1), MIN_COSINE, np.float32)
        if np.count_nonzero(products >= least) > MAX_CANDIDATES * len(products):  # too many pairs
            nearest = np.partition(products, -MAX_CANDIDATES, axis=1)[:, -MAX_CANDIDATES, None]
            least = np.maximum(least, nearest)
        left, right = np.divmod(np.flatnonzero(products >= least), products.shape[1])
        lefts.append(left)
        rights.append(right + stop)
        cosines.append(products[left, right])
    left, right = np.concatenate(lefts), np.concatenate(rights)
    nearest = _nearest_pairs(left, np.concatenate(cosines))
    return left[nearest] + start, right[nearest]


def _nearest_pairs(left: Rows, cosines: Floats) -> Rows:
    """Return the positions of the most similar pairs: at most MAX_CANDIDATES for each left row.

    Args:
        left: (K,) the left row of each pair.
        cosines: (K,) the cosine similarity of each pair.
    """
    order = np.lexsort((-cosines, left))
    counts = np.bincount(left)
    rank = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[rank < MAX_CANDIDATES]


def _join_duplicates(
    groups: Rows,
    rows: Rows,
    thumbnails: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    pairs: tuple[Rows, Rows],
) -> Rows:
    """Join the two groups of each pair of duplicates; skip pairs that already share a group."""
    is_apart = groups[rows[pairs[0]]] != groups[rows[pairs[1]]]
    left, right = pairs[0][is_apart], pairs[1][is_apart]
    is_same = are_duplicates(thumbnails[0][left], thumbnails[1][right])
    if not is_same.any():
        return groups
    return connected_components.join(groups, rows[left[is_same]], rows[right[is_same]])
