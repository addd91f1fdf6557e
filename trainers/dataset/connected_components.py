"""Connected components: rows that are linked, directly or through other rows, form a group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def join(groups: Rows, left: Rows, right: Rows) -> Rows:
    """Join the groups of each pair of linked rows.

    Args:
        groups: (N,) int64, for each row any row of the same group. Rows of one group need not have
            the same value.
        left, right: (M,) int64, the rows of M pairs of linked rows.

    Returns:
        (N,) int64, for each row the first row of its group.
    """
    found = np.arange(len(groups))
    start, end = np.append(found, left), np.append(groups, right)
    while (found[start] != found[end]).any():
        lower = np.minimum(found[start], found[end])
        for side in (start, end):
            np.minimum.at(found, found[side], lower)
        while not np.array_equal(found, found[found]):
            found = found[found]
    return found
