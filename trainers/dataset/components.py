"""Connected components: which rows belong together when pairs of them do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def join(groups: Rows, left: Rows, right: Rows) -> Rows:
    """Join the groups of pairs of rows.

    Args:
        groups: (N,): a row of the group of each row, its first for example.
        left, right: (M,): rows that belong together, pair by pair.

    Returns:
        (N,): the first row of the group of each row.
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
