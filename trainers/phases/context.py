"""The objects that all steps of a training run share: options, pictures, cache, time budget."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainers.cache.array_cache import Cache
from trainers.config import TrainingConfig
from trainers.dataset.dataset import Dataset
from trainers.features.augmentation import TRAINING_VIEWS
from trainers.features.frozen_features import AugmentedPictures
from trainers.features.network import Network
from trainers.phases.checkpoint import Checkpoint
from trainers.progress import Progress, log
from trainers.reporting.tensorboard import Board
from trainers.resources.time_budget import TimeBudget

_IRRELEVANT_OPTIONS = {
    *("output", "resume", "time_budget", "tensorboard", "cache_gigabytes", "strict"),
    *("group", "split"),  # the splits are hashed
    "folds",
    *("keep_thumbnails", "export"),
    *("data", "weights", "device"),  # `checkpoint` hashes their contents
}
"""The options that may have other values when a run is resumed. All other options must stay the
same, because they change what an epoch computes."""


@dataclass(frozen=True)
class TrainingContext:
    """The objects that both phases of a run share.

    Attributes:
        strategy: TensorFlow's distribution strategy, for fine-tuning.
        started: when the run started, as a value of `time.monotonic`.
    """

    config: TrainingConfig
    network: Network
    dataset: Dataset
    cache: Cache
    progress: Progress
    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)
    started: float = field(default_factory=time.monotonic)

    def pictures(self, split: str) -> AugmentedPictures:
        """Return the pictures of a split: "train", "validation" or "test"."""
        return self.pictures_of_rows(self.dataset.rows(split))

    def pictures_of_rows(self, rows: NDArray[np.int64]) -> AugmentedPictures:
        """Return the pictures of dataset rows (M,), with the views that --flip selects.

        With --flip auto, these are the views of --flip horizontal.
        """
        cache_keys, flip = self.dataset.cache_keys, self.config.flip
        keys = tuple(cache_keys[row] for row in rows)
        view_numbers = TRAINING_VIEWS["horizontal" if flip == "auto" else flip]
        return AugmentedPictures(lambda: self.dataset.images.records(rows), keys, view_numbers)

    @cached_property
    def train(self) -> AugmentedPictures:
        """The training pictures."""
        return self.pictures("train")

    @cached_property
    def validation(self) -> AugmentedPictures:
        """The validation pictures, or the training pictures if there are no validation pictures."""
        return self.pictures_of_rows(self.validation_rows)

    @cached_property
    def validation_rows(self) -> NDArray[np.int64]:
        """The dataset rows (M,) of the pictures in `validation`."""
        rows = self.dataset.rows("validation")
        if not len(rows):
            log.warning(
                "no picture is left for validation: validating on the training pictures instead, "
                "so the validation accuracy is too high; add more pictures"
            )
            rows = self.dataset.rows("train")
        return rows

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class index (N,) of each training picture."""
        return self.dataset.labels[self.dataset.rows("train")]

    @property
    def validation_labels(self) -> NDArray[np.int64]:
        """The class index (M,) of each picture in `validation`."""
        return self.dataset.labels[self.validation_rows]

    @property
    def class_weights(self) -> NDArray[np.float32]:
        """The weight (classes,) of each class in the loss; 1 if pictures have several labels."""
        if self.dataset.is_multi_label:
            return np.ones(len(self.dataset.classes), np.float32)
        return self.dataset.class_weights()

    @cached_property
    def board(self) -> Board:
        """The writer of TensorBoard's event files."""
        return Board(self.config.tensorboard)

    @property
    def time_budget(self) -> TimeBudget:
        """The time limit of the run."""
        return TimeBudget(self.started, self.config.time_budget)

    def checkpoint(self) -> Checkpoint:
        """Return the callback that saves and loads the checkpoint of this run.

        The callback rejects the checkpoint of a run with other pictures, options or weights.
        """
        config = self.config.model_dump(mode="json", exclude=_IRRELEVANT_OPTIONS)
        parts = (config, self.dataset.fingerprint, self.dataset.splits, self.network.identity)
        identity = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        return Checkpoint(self.config.checkpoint, identity)
