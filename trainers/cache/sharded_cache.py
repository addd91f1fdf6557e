"""Records that a cluster makes together: each worker its share, and afterwards all have all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from trainers.cache.array_cache import Cache, Recipe
from trainers.cache.record_store import Records
from trainers.distributed.collectives import Exchange
from trainers.progress import Progress, log
from trainers.resources.time_budget import TimeIsUpError

_BLOCK_BYTES = 8 * 1024**2
"""Of each worker, sent at a time."""


class SharedCache(Cache):
    """A cache whose missing records are made by all workers; all fill it in the same order.

    Workers that share GRAFT_CACHE find each other's records there; others are sent what they lack.
    """

    def __init__(
        self,
        exchange: Exchange,
        folder: Path,
        max_bytes: float,
        workspace: Path,
        progress: Progress,
    ) -> None:
        super().__init__(folder, max_bytes, workspace, progress)
        self._exchange = exchange

    def get_or_create(
        self, label: str, origin: str, keys: Sequence[bytes], recipe: Callable[[], Recipe]
    ) -> Records:
        lacks = bool(keys) and self.find(label, origin, keys) is None
        if self._exchange.any(lacks):
            self._make_shares(label, origin, keys, recipe)
        return super().get_or_create(label, origin, keys, recipe)

    def _make_shares(
        self, label: str, origin: str, keys: Sequence[bytes], recipe: Callable[[], Recipe]
    ) -> None:
        cluster = self._exchange.cluster
        shares = [np.arange(len(keys))[rank :: cluster.size] for rank in range(cluster.size)]
        mine = shares[cluster.rank]

        def my_recipe() -> Recipe:
            whole = recipe()
            return Recipe(whole.shape, whole.dtype, lambda positions: whole.make(mine[positions]))

        late: TimeIsUpError | None = None
        try:
            records = super().get_or_create(label, origin, [keys[row] for row in mine], my_recipe)
        except TimeIsUpError as error:
            late = error
        if self._exchange.any(late is not None):
            raise late or TimeIsUpError("another worker's time budget is spent")
        log.info("%s: %d of %d were this worker's share", label, len(mine), len(keys))
        record_bytes = records.nbytes // max(1, len(records))
        step = max(1, _BLOCK_BYTES // self._exchange.most(record_bytes))  # a share may be empty
        while self._exchange.any(self.find(label, origin, keys) is None):
            for start in range(0, len(shares[0]), step):
                sent = self._exchange.gather(records[start : start + step])
                for share, values in zip(shares, sent, strict=True):
                    if len(values):
                        self.add(label, origin, keys, share[start : start + step], values)
