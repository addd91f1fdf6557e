from __future__ import annotations

import numpy as np
import pytest

from trainers.heads.folds import sample_rows, split_into_folds, take_share


def random_groups(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random labels, groups (within a class and across classes) and draws."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(5, 80))
    groups = rng.integers(0, max(2, count // 2), count)
    return rng.integers(0, 4, count), groups, rng.random(count)


@pytest.mark.parametrize("seed", range(40))
def test_folds_keep_groups_together_and_every_class_in_training(
    seed: int,
) -> None:
    labels, groups, draws = random_groups(seed)
    folds = split_into_folds(labels, groups, draws)
    held_out = np.concatenate([np.zeros(0, int), *(rows for _, rows in folds)])
    assert len(set(held_out)) == len(held_out)
    for train, validation in folds:
        assert len(train) + len(validation) == len(labels)
        assert not set(groups[train]) & set(groups[validation])
        assert set(labels[train]) == set(labels)


def test_every_picture_is_held_out_once_if_classes_have_enough_groups() -> None:
    labels = np.repeat([0, 1, 2], [20, 7, 2])
    folds = split_into_folds(labels, np.arange(29), np.random.default_rng(0).random(29))
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(29))
    counts = [np.bincount(labels[held_out], minlength=3)[:2] for _, held_out in folds]
    assert np.ptp(counts, axis=0).max() <= 1  # stratified


def test_one_picture_of_each_class_is_never_held_out() -> None:
    assert split_into_folds(np.arange(4), np.arange(4), np.linspace(0, 1, 4)) == ()
    copies = np.repeat([0, 1], 5)  # the same for copies of one picture
    assert split_into_folds(copies, copies, np.linspace(0, 1, 10)) == ()


def test_folds_do_not_depend_on_the_order_of_pictures() -> None:
    labels, groups, draws = random_groups(3)
    order = np.random.default_rng(0).permutation(len(labels))
    expected = {
        frozenset(held_out.tolist()) for _, held_out in split_into_folds(labels, groups, draws)
    }
    shuffled_folds = split_into_folds(labels[order], groups[order], draws[order])
    assert {frozenset(order[held_out].tolist()) for _, held_out in shuffled_folds} == expected


def test_a_sample_takes_whole_groups_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [500, 300, 6])
    groups = np.arange(806) // 2
    chosen = sample_rows(labels, groups, np.random.default_rng(0).random(806), max_pictures=60)
    assert 56 <= len(chosen) <= 60
    assert np.bincount(labels[chosen])[2] == 6
    assert all((groups[chosen] == group).sum() == 2 for group in set(groups[chosen]))
    assert len(sample_rows(labels, groups, np.zeros(806), max_pictures=806)) == 806


@pytest.mark.parametrize("large", [[1500], [1500, 1400], [995, 3], [3000, 3000, 3000]])
def test_a_group_that_is_too_large_is_sampled(large: list[int]) -> None:
    """Sources of `--group` may be films; their frames share a draw, here the lowest of all."""
    groups = np.repeat(np.arange(len(large) + 600), [*large, *[1] * 600])
    labels = groups % 2
    draws = np.where(groups < len(large), 0.0, np.random.default_rng(0).random(len(groups)))
    chosen = sample_rows(labels, groups, draws, max_pictures=1000)
    assert 900 <= len(chosen) <= 1000
    assert set(groups[chosen]) == set(groups)
    assert len(sample_rows(labels, groups, draws, len(groups))) == len(groups)


def test_a_class_that_is_one_film_is_represented() -> None:
    labels = np.repeat([0, 1], [5000, 5000])
    groups = np.where(labels == 0, 0, np.arange(10_000) // 100)
    chosen = sample_rows(labels, groups, np.zeros(10_000), max_pictures=1000)
    frames = chosen[labels[chosen] == 0]
    assert len(chosen) >= 900
    assert len(frames) >= 100
    assert np.ptp(np.diff(frames)) <= 1  # at even distances


@pytest.mark.parametrize("seed", range(10))
def test_a_share_has_whole_groups_of_every_class(seed: int) -> None:
    labels, groups, draws = random_groups(seed)
    rows = take_share(labels, groups, draws, 0.3)
    assert set(labels[rows]) == set(labels)
    assert set(groups[rows]).isdisjoint(np.delete(groups, rows))
    assert take_share(labels, groups, draws, 1.0).tolist() == list(range(len(labels)))


def test_a_share_takes_the_same_share_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [500, 100, 3])
    draws = np.random.default_rng(0).random(603)
    rows = take_share(labels, np.arange(603), draws, 0.1)
    assert np.bincount(labels[rows]).tolist() == [50, 10, 1]
    assert draws[rows].max() < 0.4  # the lowest draws are taken
    turned = take_share(labels, np.arange(603), (draws + 0.5) % 1, 0.1)
    assert set(rows) & set(turned) <= set(np.flatnonzero(labels == 2))
