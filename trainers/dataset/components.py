"""Connected components: merges pairs of rows that belong together into groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def join(groups: Rows, left: Rows, right: Rows) -> Rows:
    """Join the groups of rows that belong together.

    Args:
        groups: (N,) int64, for each row any row of its group, such as the first.
        left, right: (M,) int64, pairs of rows that belong together.

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
