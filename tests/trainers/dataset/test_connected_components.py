from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trainers.dataset.connected_components import join

ROWS = np.arange(6)


def test_rows_without_pairs_stay_in_their_groups() -> None:
    no_rows = np.zeros(0, np.int64)
    assert join(no_rows, no_rows, no_rows).tolist() == []
    assert join(np.array([0, 1, 0, 3, 1, 5]), no_rows, no_rows).tolist() == [0, 1, 0, 3, 1, 5]


def test_a_chain_of_pairs_is_one_group_labelled_with_its_first_row() -> None:
    assert join(ROWS, np.array([5, 4, 1]), np.array([4, 2, 5])).tolist() == [0, 1, 1, 3, 1, 1]
    groups = np.array([0, 1, 2, 2, 4, 1])  # groups: 2 and 3, 1 and 5
    assert join(groups, np.array([3]), np.array([5])).tolist() == [0, 1, 1, 1, 4, 1]


@pytest.mark.parametrize("seed", range(20))
def test_groups_equal_the_connected_components_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 500
    pairs = rng.integers(0, count, (2, rng.integers(1, 600)))
    if seed == 0:  # a long chain, in an unfavourable order
        pairs = np.stack([rng.permutation(count), np.zeros(count, np.int64)])
        pairs[1, 1:] = pairs[0, :-1]
    graph = coo_array((np.ones(pairs.shape[1]), pairs), (count, count))
    _, labels = connected_components(graph, directed=False)
    first_rows = {label: row for row, label in reversed(list(enumerate(labels)))}
    expected = [first_rows[label] for label in labels]
    assert join(np.arange(count), *pairs).tolist() == expected
