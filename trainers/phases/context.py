"""What all steps of a run share: its settings, its pictures, where things are kept."""

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
from trainers.features.frozen_features import Pictures
from trainers.features.network import Network
from trainers.features.views import NUMBERS
from trainers.phases.checkpoint import Checkpoint
from trainers.progress import Progress, log
from trainers.reporting.tensorboard import Board
from trainers.resources.time_budget import Clock

_NO_MATTER = {
    *("output", "resume", "time_budget", "tensorboard", "cache_gigabytes", "strict", "group"),
    *("data", "weights", "device"),  # whose content is in the other parts of the identity
}
"""Options that change nothing about what an epoch computes."""


@dataclass(frozen=True)
class Run:
    """What both phases share.

    Attributes:
        strategy: TensorFlow's, for fine-tuning.
    """

    config: TrainingConfig
    network: Network
    dataset: Dataset
    cache: Cache
    progress: Progress
    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)
    started: float = field(default_factory=time.monotonic)

    def pictures(self, split: str) -> Pictures:
        return self.pictures_of(self.dataset.rows(split))

    @cached_property
    def train(self) -> Pictures:
        return self.pictures("train")

    @cached_property
    def validation(self) -> Pictures:
        return self.pictures_of(self.validation_rows)

    @cached_property
    def validation_rows(self) -> NDArray[np.int64]:
        rows = self.dataset.rows("validation")
        if not len(rows):
            log.warning("no picture is left for validation")
            rows = self.dataset.rows("train")
        return rows

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.dataset.labels[self.dataset.rows("train")]

    @property
    def validation_labels(self) -> NDArray[np.int64]:
        return self.dataset.labels[self.validation_rows]

    @property
    def class_weights(self) -> NDArray[np.float32]:
        return self.dataset.class_weights()

    @cached_property
    def board(self) -> Board:
        return Board(self.config.tensorboard)

    @property
    def clock(self) -> Clock:
        return Clock(self.started, self.config.time_budget)

    def checkpoint(self) -> Checkpoint:
        """Of this very run: the same pictures, options and weights."""
        config = self.config.model_dump(mode="json", exclude=_NO_MATTER)
        parts = (config, self.dataset.fingerprint, self.dataset.splits, self.network.identity)
        identity = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        return Checkpoint(self.config.checkpoint, identity)

    def pictures_of(self, rows: NDArray[np.int64]) -> Pictures:
        kept_under, flip = self.dataset.cache_keys, self.config.flip
        keys = tuple(kept_under[row] for row in rows)
        numbers = NUMBERS["horizontal" if flip == "auto" else flip]
        return Pictures(lambda: self.dataset.images.records(rows), keys, numbers)
