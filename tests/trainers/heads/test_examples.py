from __future__ import annotations

import numpy as np
import pytest

from trainers.heads.examples import Examples, Pool, parts, sample


def random_groups(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, groups (also across classes, also of one class alone) and draws."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(5, 80))
    groups = rng.integers(0, max(2, count // 2), count)
    return rng.integers(0, 4, count), groups, rng.random(count)


@pytest.mark.parametrize("seed", range(40))
def test_folds_keep_groups_together_and_leave_every_class_something_to_learn_from(
    seed: int,
) -> None:
    labels, groups, draws = random_groups(seed)
    dealt = parts(labels, groups, draws)
    held = np.concatenate([np.zeros(0, int), *(one for _, one in dealt)])
    assert len(set(held)) == len(held)
    for learned, judging in dealt:
        assert len(learned) + len(judging) == len(labels)
        assert not set(groups[learned]) & set(groups[judging])
        assert set(labels[learned]) == set(labels)


def test_every_picture_judges_once_where_classes_have_groups_enough() -> None:
    labels = np.repeat([0, 1, 2], [20, 7, 2])
    dealt = parts(labels, np.arange(29), np.random.default_rng(0).random(29))
    assert sorted(np.concatenate([held for _, held in dealt])) == list(range(29))
    counts = [np.bincount(labels[held], minlength=3)[:2] for _, held in dealt]
    assert np.ptp(counts, axis=0).max() <= 1  # stratified


def test_one_picture_of_each_class_can_judge_nothing() -> None:
    assert parts(np.arange(4), np.arange(4), np.linspace(0, 1, 4)) == ()
    copies = np.repeat([0, 1], 5)  # nor can copies of it
    assert parts(copies, copies, np.linspace(0, 1, 10)) == ()


def test_order_does_not_matter() -> None:
    labels, groups, draws = random_groups(3)
    order = np.random.default_rng(0).permutation(len(labels))
    first = {frozenset(held.tolist()) for _, held in parts(labels, groups, draws)}
    again = parts(labels[order], groups[order], draws[order])
    assert {frozenset(order[held].tolist()) for _, held in again} == first


def test_a_sample_takes_whole_groups_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [500, 300, 6])
    groups = np.arange(806) // 2
    chosen = sample(labels, groups, np.random.default_rng(0).random(806), most=60)
    assert 56 <= len(chosen) <= 60
    assert np.bincount(labels[chosen])[2] == 6
    assert all((groups[chosen] == one).sum() == 2 for one in set(groups[chosen]))
    assert len(sample(labels, groups, np.zeros(806), most=806)) == 806


@pytest.mark.parametrize("large", [[1500], [1500, 1400], [995, 3], [3000, 3000, 3000]])
def test_a_group_that_is_too_large_gives_some_and_leaves_room(large: list[int]) -> None:
    """Sources of `--group` may be films; their frames share a draw, here the lowest of all."""
    groups = np.repeat(np.arange(len(large) + 600), [*large, *[1] * 600])
    labels = groups % 2
    draws = np.where(groups < len(large), 0.0, np.random.default_rng(0).random(len(groups)))
    chosen = sample(labels, groups, draws, most=1000)
    assert 900 <= len(chosen) <= 1000
    assert set(groups[chosen]) == set(groups)
    assert len(sample(labels, groups, draws, len(groups))) == len(groups)


def test_a_class_that_is_one_film_keeps_its_say() -> None:
    labels = np.repeat([0, 1], [5000, 5000])
    groups = np.where(labels == 0, 0, np.arange(10_000) // 100)
    chosen = sample(labels, groups, np.zeros(10_000), most=1000)
    frames = chosen[labels[chosen] == 0]
    assert len(chosen) >= 900
    assert len(frames) >= 100
    assert np.ptp(np.diff(frames)) <= 1  # at even distances


def test_the_validation_pictures_judge_or_folds_do() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 3
    embeddings = rng.normal(size=(12, 2, 4)).astype(np.float32)
    weights = np.ones(12, np.float32)
    held_out = Examples(embeddings, labels, weights, embeddings[:4, 0], labels[:4], 3)
    assert list(held_out.judges) == [held_out]
    pool = Pool(embeddings, labels, weights, parts(labels, np.arange(12), np.zeros(12)), 3)
    folds = list(
        Examples(embeddings, labels, weights, embeddings[:0, 0], labels[:0], 3, pool).judges
    )
    assert sum(len(fold.validation) for fold in folds) == 12
    assert {fold.train.shape[1:] for fold in folds} == {(2, 4)}
