"""What workers tell each other; several threads stand in for them, real ones are elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from service.errors import GraftError
from trainers.distributed.cluster import Cluster, ClusterError, WorkerLostError
from trainers.distributed.collectives import ALONE, Exchange, naming_the_lost

Together = Callable[[int, Callable[[Exchange], Any]], list[Any]]


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float32, np.float64, np.int64])
def test_arrays_of_different_length_come_back_by_rank(dtype: type, together: Together) -> None:
    def work(exchange: Exchange) -> list[NDArray[Any]]:
        rank = exchange.cluster.rank
        return exchange.gather(np.full((rank * 2, 3), rank, dtype))

    for parts in together(3, work):
        assert [part.shape for part in parts] == [(0, 3), (2, 3), (4, 3)]
        assert [part.dtype for part in parts] == [dtype] * 3
        assert all((part == dtype(rank)).all() for rank, part in enumerate(parts))


def test_alone_nothing_is_sent() -> None:
    values = np.zeros(2)
    assert ALONE.gather(values)[0] is values
    assert ALONE.from_chief(lambda: b"page") == b"page"
    assert ALONE.by_chief(lambda: 3) == 3
    assert not ALONE.any(False)
    ALONE.agree(options="a")


def test_the_largest_number_and_any(together: Together) -> None:
    assert together(3, lambda one: one.most(one.cluster.rank + 5)) == [7, 7, 7]
    assert together(2, lambda one: one.any(one.cluster.rank == 1)) == [True, True]
    assert together(2, lambda one: one.any(False)) == [False, False]


def test_what_the_chief_makes_reaches_all(together: Together) -> None:
    def work(exchange: Exchange) -> bytes:
        rank = exchange.cluster.rank
        return exchange.from_chief(lambda: b"chief's" if not rank else pytest.fail("not asked"))

    assert together(3, work) == [b"chief's"] * 3
    assert together(2, lambda one: one.from_chief(lambda: b"")) == [b"", b""]


def test_the_last_thing_is_the_chiefs(together: Together) -> None:
    assert together(2, lambda one: one.by_chief(lambda: one.cluster.rank)) == [0, None]


def test_the_chiefs_failure_is_everyones(together: Together) -> None:
    def fail() -> bytes:
        raise GraftError("the disk is full")

    first, second = together(2, lambda one: one.from_chief(fail))
    assert str(first) == "the disk is full"
    assert str(second) == "the chief stopped: the disk is full"


def test_any_failure_of_the_chief_reaches_the_others(together: Together) -> None:
    def fail() -> None:
        raise ValueError("a bug")

    def work(exchange: Exchange) -> str:
        with pytest.raises((ValueError, ClusterError)) as caught:
            exchange.by_chief(fail)
        return str(caught.value)

    assert together(2, work) == ["a bug", "the chief stopped: a bug"]


def test_a_worker_lost_after_the_chiefs_last_work_takes_nothing_away() -> None:
    class Broken(Exchange):
        def _gather(self, values: NDArray[Any]) -> NDArray[Any]:
            raise tf.errors.UnavailableError(None, None, "Socket closed")

    addresses, jobs = ("a:1", "b:2"), (("worker", 2),)
    assert Broken(Cluster(addresses, 0, jobs)).by_chief(lambda: "bundle") == "bundle"
    with pytest.raises(tf.errors.UnavailableError):
        Broken(Cluster(addresses, 1, jobs)).by_chief(lambda: "bundle")


def test_workers_that_were_started_otherwise_are_named(together: Together) -> None:
    def work(exchange: Exchange) -> None:
        seen = "more" if exchange.cluster.rank == 1 else "some"
        exchange.agree(options="same", pictures=seen)

    for error in together(2, work):
        assert isinstance(error, ClusterError)
        assert "worker 1 has other pictures than the chief" in str(error)
    assert together(2, lambda one: one.agree(options="same")) == [None, None]


def test_a_lost_worker_is_said_in_words() -> None:
    pair = Cluster(("a:1", "b:2"), 1, (("worker", 2),))
    unavailable = tf.errors.UnavailableError(None, None, "Socket closed\nmore")
    with pytest.raises(WorkerLostError, match=r"a:1, b:2.*rank 1.*--resume"), naming_the_lost(pair):
        raise unavailable
    with pytest.raises(WorkerLostError, match="b:2: refused"), naming_the_lost(pair):
        raise TimeoutError("b:2: refused")


def test_other_errors_pass() -> None:
    with pytest.raises(tf.errors.InternalError), naming_the_lost(Cluster()):
        raise tf.errors.InternalError(None, None, "alone")
    with pytest.raises(ValueError, match="ours"), naming_the_lost(Cluster(("a:1", "b:2"))):
        raise ValueError("ours")
