from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.trainers.dataset.splits.test_splitting import dataset
from trainers.cross_validation.fold_datasets import make_folds
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.errors import DataError


def count_tests(folds: Sequence[Dataset], size: int) -> np.ndarray:
    """How often each picture is a test picture."""
    return np.bincount(np.concatenate([fold.rows("test") for fold in folds]), minlength=size)


def test_every_picture_is_tested_once_and_classes_are_balanced() -> None:
    data = dataset(50, 100, splits=("test",) * 75 + ("train",) * 75)
    folds = make_folds(data, 5, seed=3)
    assert count_tests(folds, 150).tolist() == [1] * 150
    for fold in folds:
        assert np.bincount(fold.labels[fold.rows("test")]).tolist() == [10, 20]
        assert set(fold.splits) == {"train", "validation", "test"}
        assert len(fold.rows("validation")) == pytest.approx(0.15 * 120, abs=10)


def test_duplicates_and_sources_stay_together() -> None:
    data = replace(
        dataset(20, 20),
        duplicate_groups=np.arange(40) // 2 * 2,
        sources=tuple(f"clip {row // 4}" if row < 20 else "" for row in range(40)),
    )
    folds = make_folds(data, 4, seed=0)
    for fold in folds:
        splits = np.array(fold.splits)
        assert (splits[::2] == splits[1::2]).all()
        assert all(len(set(splits[at : at + 4])) == 1 for at in range(0, 20, 4))
    assert count_tests(folds, 40).tolist() == [1] * 40


def test_the_seed_decides_the_folds_and_order_does_not() -> None:
    first, same, other = (make_folds(dataset(20, 20), 4, seed) for seed in (0, 0, 1))
    assert [fold.splits for fold in first] == [fold.splits for fold in same]
    assert [fold.splits for fold in first] != [fold.splits for fold in other]


def test_small_classes_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    folds = make_folds(dataset(3, 30), 5, seed=0)
    assert count_tests(folds, 33).tolist() == [1] * 33
    assert "some folds have no test picture of `a`" in caplog.text


def test_the_only_source_of_a_class_is_never_count_tests() -> None:
    data = replace(dataset(4, 12), sources=("one clip",) * 4 + ("",) * 12)
    assert count_tests(make_folds(data, 3, seed=0), 16).tolist() == [0] * 4 + [1] * 12


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(DataError, match=r"--folds 20: .* too few .* use --folds 6, or add"):
        make_folds(dataset(3, 3), 20, seed=0)


def test_without_the_option_there_are_no_folds() -> None:
    assert make_folds(dataset(3, 3), None, seed=0) == ()
