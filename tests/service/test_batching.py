from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from service.batching import Batcher
from service.errors import Overloaded

SECONDS = 20
"""Far above what anything here takes: only a failing test waits so long."""


def picture(number: int) -> NDArray[np.uint8]:
    return np.full((2, 2, 3), number, np.uint8)


@dataclass
class Model:
    """A stand-in that answers [number, 0] for picture(number), when its gate is open."""

    calls: list[list[int]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        numbers = images[:, 0, 0, 0].tolist()
        self.calls.append(numbers)
        self.entered.put(None)
        assert self.gate.wait(SECONDS)
        if 13 in numbers:
            raise RuntimeError("the model failed")
        if 99 in numbers:
            return np.zeros((0, 2), np.float32)
        return np.array([[number, 0] for number in numbers], np.float32)

    def hold(self, batcher: Batcher) -> Future[NDArray[np.float32]]:
        """Occupy the model with picture 0, so that what is submitted next has to gather."""
        first = batcher.submit(picture(0))
        self.entered.get(timeout=SECONDS)
        return first


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def new_batcher(model: Model) -> Iterator[Callable[..., Batcher]]:
    batchers = []

    def new_batcher(max_batch_size: int = 4, max_queue_size: int = 8) -> Batcher:
        batchers.append(Batcher(model, max_batch_size, max_queue_size))
        return batchers[-1]

    yield new_batcher
    model.gate.set()
    for batcher in batchers:
        batcher.close()


def number(answer: Future[NDArray[np.float32]]) -> int:
    return int(answer.result(SECONDS)[0])


def test_lone_picture_is_answered_at_once(
    model: Model, new_batcher: Callable[..., Batcher]
) -> None:
    model.gate.set()
    assert number(new_batcher().submit(picture(5))) == 5
    assert model.calls == [[5]]


def test_pictures_that_wait_share_calls_in_order_up_to_the_limit(
    model: Model, new_batcher: Callable[..., Batcher]
) -> None:
    batcher = new_batcher(max_batch_size=4)
    first = model.hold(batcher)
    answers = [batcher.submit(picture(n)) for n in range(1, 7)]
    model.gate.set()
    assert [number(answer) for answer in [first, *answers]] == [0, 1, 2, 3, 4, 5, 6]
    assert model.calls == [[0], [1, 2, 3, 4], [5, 6]]


def test_pictures_of_many_threads_share_calls_and_get_their_own_answers(
    model: Model, new_batcher: Callable[..., Batcher]
) -> None:
    batcher = new_batcher(max_batch_size=8)
    model.hold(batcher)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: batcher.submit(picture(n)), range(20, 28)))
    model.gate.set()
    assert [number(answer) for answer in answers] == list(range(20, 28))
    assert [sorted(call) for call in model.calls] == [[0], list(range(20, 28))]


def test_failing_call_fails_its_own_batch_only(
    model: Model, new_batcher: Callable[..., Batcher]
) -> None:
    batcher = new_batcher(max_batch_size=2)
    model.hold(batcher)
    answers = [batcher.submit(picture(n)) for n in (1, 13, 2, 3)]
    model.gate.set()
    for failed in answers[:2]:
        with pytest.raises(RuntimeError, match="the model failed"):
            failed.result(SECONDS)
    assert [number(answer) for answer in answers[2:]] == [2, 3]


def test_model_that_answers_too_few_pictures_fails_them_and_goes_on(
    model: Model, new_batcher: Callable[..., Batcher]
) -> None:
    model.gate.set()
    batcher = new_batcher()
    with pytest.raises(ValueError, match="zip"):
        batcher.submit(picture(99)).result(SECONDS)
    assert number(batcher.submit(picture(1))) == 1


def test_pictures_of_different_sizes_fail_together_and_the_next_is_answered(
    model: Model, new_batcher: Callable[..., Batcher]
) -> None:
    batcher = new_batcher()
    model.hold(batcher)
    answers = [batcher.submit(picture(1)), batcher.submit(np.zeros((3, 3, 3), np.uint8))]
    model.gate.set()
    for failed in answers:
        with pytest.raises(ValueError, match="same shape"):
            failed.result(SECONDS)
    assert number(batcher.submit(picture(2))) == 2


def test_cancelled_pictures_cost_no_call(model: Model, new_batcher: Callable[..., Batcher]) -> None:
    batcher = new_batcher(max_batch_size=2)
    model.hold(batcher)
    answers = [batcher.submit(picture(n)) for n in (1, 2, 3, 4)]
    assert all(answer.cancel() for answer in answers[:3])
    model.gate.set()
    assert number(answers[3]) == 4
    assert model.calls == [[0], [4]]


def test_admission_is_bounded_and_freed_on_exit(new_batcher: Callable[..., Batcher]) -> None:
    batcher = new_batcher(max_queue_size=3)
    with batcher.admit(2):
        assert batcher.inside == 2
        with pytest.raises(Overloaded, match=r"2 pictures .* at most 3 "), batcher.admit(2):
            pass
        with batcher.admit(1):
            assert batcher.inside == 3
    assert batcher.inside == 0


def test_admission_is_freed_when_the_work_fails(new_batcher: Callable[..., Batcher]) -> None:
    batcher = new_batcher(max_queue_size=1)
    with pytest.raises(KeyError), batcher.admit(1):
        raise KeyError
    assert batcher.inside == 0


def test_admission_holds_under_many_threads(new_batcher: Callable[..., Batcher]) -> None:
    batcher = new_batcher(max_queue_size=3)
    together = threading.Barrier(8)

    def enter(_: int) -> bool:
        together.wait(SECONDS)
        try:
            with batcher.admit(1):
                together.wait(SECONDS)
                return True
        except Overloaded:
            together.wait(SECONDS)
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(enter, range(8))) == 3
    assert batcher.inside == 0


def test_close_answers_what_is_queued_then_stops(
    model: Model, new_batcher: Callable[..., Batcher]
) -> None:
    batcher = new_batcher(max_batch_size=2)
    model.hold(batcher)
    answers = [batcher.submit(picture(n)) for n in (1, 2, 3)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()  # it waits for the model
    model.gate.set()
    closing.join(SECONDS)
    assert not closing.is_alive()
    assert [number(answer) for answer in answers] == [1, 2, 3]
    assert "batcher" not in [thread.name for thread in threading.enumerate()]
