from __future__ import annotations

import numpy as np

from trainers.heads.examples import Examples, Pool
from trainers.heads.folds import split_into_folds


def test_examples_are_validated_on_validation_pictures_or_on_folds() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 3
    embeddings = rng.normal(size=(12, 2, 4)).astype(np.float32)
    weights = np.ones(12, np.float32)
    held_out = Examples(embeddings, labels, weights, embeddings[:4, 0], labels[:4], 3)
    assert list(held_out.splits()) == [held_out]
    pool = Pool(
        embeddings, labels, weights, split_into_folds(labels, np.arange(12), np.zeros(12)), 3
    )
    folds = list(
        Examples(embeddings, labels, weights, embeddings[:0, 0], labels[:0], 3, pool).splits()
    )
    assert sum(len(fold.validation) for fold in folds) == 12
    assert {fold.train.shape[1:] for fold in folds} == {(2, 4)}
