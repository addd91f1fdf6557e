"""What the processes of a cluster tell each other, besides gradients."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainers.distributed.cluster import ALONE as BY_ITSELF
from trainers.distributed.cluster import (
    LOST_SECONDS,
    START_SECONDS,
    Cluster,
    ClusterError,
    WorkerLostError,
)
from trainers.progress import log

_Result = TypeVar("_Result")
_GROUP = 0x67726166
"""TensorFlow counts its own groups of collective operations from 1."""
LOST = (
    *(tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError),
    *(tf.errors.DeadlineExceededError, tf.errors.FailedPreconditionError, tf.errors.InternalError),
)


@dataclass(frozen=True)
class Exchange:
    """All processes call the same methods in the same order; each waits for all others."""

    cluster: Cluster
    _instances: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def gather(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """The arrays (M, ...) of all workers, by rank; M may differ, the rest may not."""
        if self.cluster.size == 1:
            return [values]
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        sizes = [int(one[0]) for one in self._gather(np.array([len(data)], np.int64))]
        padded = np.zeros(-(-max(sizes) // 4) * 4, np.uint8)  # collectives know no bytes
        padded[: len(data)] = data
        parts = self._gather(padded.view(np.int32)) if len(padded) else [data] * len(sizes)
        return [
            part.view(np.uint8)[:size].view(values.dtype).reshape(-1, *values.shape[1:])
            for part, size in zip(parts, sizes, strict=True)
        ]

    def most(self, here: int) -> int:
        """The largest of all workers' numbers."""
        return max(int(one[0]) for one in self.gather(np.array([here])))

    def any(self, here: bool) -> bool:
        """Whether it is so on any worker."""
        return bool(self.most(here))

    def chief_says(self, here: bool) -> bool:
        """Whether it is so for the chief."""
        if self.cluster.size == 1:
            return here
        return bool(self._gather(np.array([here], np.int64))[0][0])

    def from_chief(self, make: Callable[[], bytes]) -> bytes:
        """What the chief makes; the others wait, and stop with its message where it fails.

        Raises:
            ClusterError: on the others, for whatever the chief raised.
        """
        if self.cluster.size == 1:
            return make()
        failure: Exception | None = None
        page = b""
        if self.cluster.is_chief:
            try:
                page = b"+" + make()
            except Exception as error:
                failure, page = error, b"-" + str(error).encode()
        sent = self.gather(np.frombuffer(page, np.uint8))[0].tobytes()
        if failure:
            raise failure
        if sent[:1] == b"-":
            raise ClusterError(f"the chief stopped: {sent[1:].decode()}")
        return sent[1:]

    def by_chief(self, finish: Callable[[], _Result]) -> _Result | None:
        """What the chief alone does last; the others wait for its end, and return None.

        Raises:
            ClusterError: on the others, for whatever the chief raised.
        """
        results: list[_Result] = []

        def make() -> bytes:
            results.append(finish())
            return b"done"

        try:
            self.from_chief(make)
        except LOST:
            if not results:
                raise
            log.warning("a worker was lost at the very end; what was made is complete")
        return results[0] if results else None

    def agree(self, **parts: str) -> None:
        """Raise ClusterError on all workers unless all were started alike."""
        pages = self.gather(np.frombuffer(json.dumps(parts).encode(), np.uint8))
        chiefs, *others = (json.loads(page.tobytes()) for page in pages)
        for rank, other in enumerate(others, 1):
            wrong = [name for name in chiefs if chiefs[name] != other[name]]
            if wrong:
                raise ClusterError(
                    f"worker {rank} has other {' and '.join(wrong)} than the chief: all workers "
                    "need the same command line, the same pictures and the same packages"
                )

    def _gather(self, values: NDArray[Any]) -> NDArray[Any]:
        """(M,) int32 or int64, of the same M everywhere -> (workers, M)."""
        with tf.device("CPU:0"):
            gathered = tf.raw_ops.CollectiveGatherV2(
                input=values,
                group_size=self.cluster.size,
                group_key=_GROUP,
                instance_key=next(self._instances),
                ordering_token=[],
            )
        rows: NDArray[Any] = gathered.numpy().reshape(self.cluster.size, -1)
        return rows


ALONE = Exchange(BY_ITSELF)


@contextmanager
def naming_the_lost(cluster: Cluster) -> Iterator[None]:
    """TensorFlow's errors about a peer that does not answer become one message.

    Raises:
        WorkerLostError: a worker did not come, or is gone.
    """
    try:
        yield
    except (TimeoutError, *LOST) as error:
        if cluster.size == 1:
            raise
        reason = getattr(error, "message", str(error)).splitlines()[0][:200]
        raise WorkerLostError(
            f"another of the {cluster.size} workers ({', '.join(cluster.addresses)}) did not come "
            f"within {START_SECONDS} s or has not answered for {LOST_SECONDS} s, so this one, "
            f"rank {cluster.rank}, stops, too: look at the others' last lines, then start all "
            f"again with --resume ({reason})"
        ) from error
