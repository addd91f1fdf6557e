"""Draws training and test pictures from a folder, as folders of symbolic links for every tool."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from trainers.cache.array_cache import Cache
from trainers.dataset import grouping, scanning
from trainers.dataset.dataset import load_dataset
from trainers.progress import Progress

TEST_PICTURES = 60
"""Number of test pictures of each class."""


def draw(folder: Path, per_class: int | None, seed: int, target: Path) -> int:
    """Link pictures into target/train/CLASS and target/test/CLASS.

    Of each class, TEST_PICTURES random pictures are the test. Near-duplicates of test pictures are
    not used for training.

    Args:
        per_class: number of training pictures of each class; None takes all that are left.
        seed: each seed draws other pictures.

    Returns:
        The number of training pictures.
    """
    with tempfile.TemporaryDirectory() as work:
        cache = Cache(Path(work), 0, Path(work), Progress(is_quiet=True))
        dataset = load_dataset(scanning.scan(folder), cache)
    groups, rng = grouping.merge_groups(dataset), np.random.default_rng(seed)
    count = 0
    for index, label in enumerate(dataset.classes):
        rows = rng.permutation(np.flatnonzero(dataset.labels == index))
        test, rest = rows[:TEST_PICTURES], rows[TEST_PICTURES:]
        train = rest[~np.isin(groups[rest], groups[test])][:per_class]
        count += len(train)
        for split, chosen in (("train", train), ("test", test)):
            parent = target / split / label
            parent.mkdir(parents=True)
            for row in chosen:
                path = dataset.folder / dataset.paths[row]
                (parent / path.name).symlink_to(path.resolve())
    return count
