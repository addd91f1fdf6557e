from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.scheduler import Job, Scheduler
from service.errors import Overloaded, UndecodableImage

TIMEOUT_SECONDS = 20
"""Much longer than any step takes: only a failing test waits this long."""


def picture(number: int) -> NDArray[np.uint8]:
    return np.full((2, 2, 3), number, np.uint8)


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode one byte as a picture with this value."""
    if len(data) != 1:
        raise UndecodableImage("not one byte")
    return picture(data[0])


def submit(scheduler: Scheduler, image: NDArray[np.uint8]) -> Future[NDArray[np.float32]]:
    return scheduler.submit_decoded(image).future


@dataclass
class Model:
    """Replaces the model: returns [number, 0] for picture(number) once its gate is open."""

    calls: list[list[int]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        numbers = images[:, 0, 0, 0].tolist()
        self.calls.append(numbers)
        self.entered.put(None)
        assert self.gate.wait(TIMEOUT_SECONDS)
        if 13 in numbers:
            raise RuntimeError("the model failed")
        if 99 in numbers:
            return np.zeros((0, 2), np.float32)
        return np.array([[number, 0] for number in numbers], np.float32)

    def occupy(self, scheduler: Scheduler) -> Future[NDArray[np.float32]]:
        """Occupy the model with picture 0, so that the next pictures wait in the queue."""
        future = submit(scheduler, picture(0))
        self.entered.get(timeout=TIMEOUT_SECONDS)
        return future


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def make_scheduler(model: Model) -> Iterator[Callable[..., Scheduler]]:
    schedulers = []

    def make_scheduler(
        max_batch_size: int = 4, max_queue_size: int = 8, threads: int = 2, sessions: int = 1
    ) -> Scheduler:
        schedulers.append(
            Scheduler(
                decode,
                model,
                threads=threads,
                sessions=sessions,
                max_batch_size=max_batch_size,
                max_queue_size=max_queue_size,
            )
        )
        return schedulers[-1]

    yield make_scheduler
    model.gate.set()
    for scheduler in schedulers:
        scheduler.close()


def result_number(answer: Future[NDArray[np.float32]]) -> int:
    return int(answer.result(TIMEOUT_SECONDS)[0])


def test_lone_picture_is_answered_at_once(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    model.gate.set()
    assert result_number(submit(make_scheduler(), picture(5))) == 5
    assert model.calls == [[5]]


def test_pictures_that_wait_share_calls_in_order_up_to_the_limit(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    scheduler = make_scheduler(max_batch_size=4)
    occupying_answer = model.occupy(scheduler)
    answers = [submit(scheduler, picture(n)) for n in range(1, 7)]
    model.gate.set()
    assert [result_number(answer) for answer in [occupying_answer, *answers]] == [
        0,
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert model.calls == [[0], [1, 2, 3, 4], [5, 6]]


def test_pictures_of_many_threads_share_calls_and_get_their_own_answers(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    scheduler = make_scheduler(max_batch_size=8)
    model.occupy(scheduler)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: submit(scheduler, picture(n)), range(20, 28)))
    model.gate.set()
    assert [result_number(answer) for answer in answers] == list(range(20, 28))
    assert [sorted(call) for call in model.calls] == [[0], list(range(20, 28))]


def test_failing_call_fails_its_own_batch_only(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    scheduler = make_scheduler(max_batch_size=2)
    model.occupy(scheduler)
    answers = [submit(scheduler, picture(n)) for n in (1, 13, 2, 3)]
    model.gate.set()
    for failed in answers[:2]:
        with pytest.raises(RuntimeError, match="the model failed"):
            failed.result(TIMEOUT_SECONDS)
    assert [result_number(answer) for answer in answers[2:]] == [2, 3]


def test_a_wrong_number_of_answers_fails_only_that_call(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    model.gate.set()
    scheduler = make_scheduler()
    with pytest.raises(ValueError, match="zip"):
        submit(scheduler, picture(99)).result(TIMEOUT_SECONDS)
    assert result_number(submit(scheduler, picture(1))) == 1


def test_pictures_of_different_sizes_fail_together_and_the_next_is_answered(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    scheduler = make_scheduler()
    model.occupy(scheduler)
    answers = [submit(scheduler, picture(1)), submit(scheduler, np.zeros((3, 3, 3), np.uint8))]
    model.gate.set()
    for failed in answers:
        with pytest.raises(ValueError, match="same shape"):
            failed.result(TIMEOUT_SECONDS)
    assert result_number(submit(scheduler, picture(2))) == 2


def test_cancelled_pictures_are_not_predicted(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    scheduler = make_scheduler(max_batch_size=2)
    model.occupy(scheduler)
    answers = [submit(scheduler, picture(n)) for n in (1, 2, 3, 4)]
    assert all(answer.cancel() for answer in answers[:3])
    model.gate.set()
    assert result_number(answers[3]) == 4
    assert model.calls == [[0], [4]]


def test_admission_is_bounded_and_freed_on_exit(make_scheduler: Callable[..., Scheduler]) -> None:
    scheduler = make_scheduler(max_queue_size=3)
    with scheduler.admit(2):
        assert scheduler.admitted == 2
        with (
            pytest.raises(Overloaded, match=r"too full .* \(2\), but 2 of 3 places are taken"),
            scheduler.admit(2),
        ):
            pass
        with scheduler.admit(1):
            assert scheduler.admitted == 3
    assert scheduler.admitted == 0


def test_it_is_calm_while_less_than_half_of_its_threads_are_busy(
    make_scheduler: Callable[..., Scheduler],
) -> None:
    for threads, most in ((1, 0), (2, 0), (3, 1), (8, 3)):
        scheduler = make_scheduler(threads=threads, max_queue_size=8)
        with scheduler.admit(most):
            assert scheduler.is_calm
            with scheduler.admit(1):
                assert not scheduler.is_calm


def test_admission_is_freed_when_the_work_fails(make_scheduler: Callable[..., Scheduler]) -> None:
    scheduler = make_scheduler(max_queue_size=1)
    with pytest.raises(KeyError), scheduler.admit(1):
        raise KeyError
    assert scheduler.admitted == 0


def test_admission_is_bounded_with_many_threads(make_scheduler: Callable[..., Scheduler]) -> None:
    scheduler = make_scheduler(max_queue_size=3)
    barrier = threading.Barrier(8)

    def enter(_: int) -> bool:
        barrier.wait(TIMEOUT_SECONDS)
        try:
            with scheduler.admit(1):
                barrier.wait(TIMEOUT_SECONDS)
                return True
        except Overloaded:
            barrier.wait(TIMEOUT_SECONDS)
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(enter, range(8))) == 3
    assert scheduler.admitted == 0


def test_close_answers_queued_pictures_first(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    scheduler = make_scheduler(max_batch_size=2)
    model.occupy(scheduler)
    answers = [submit(scheduler, picture(n)) for n in (1, 2, 3)]
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()  # it waits for the model
    model.gate.set()
    closing.join(TIMEOUT_SECONDS)
    assert not closing.is_alive()
    assert [result_number(answer) for answer in answers] == [1, 2, 3]
    assert not [t for t in threading.enumerate() if t.name.startswith("picture-")]


def test_bytes_are_decoded_and_answered(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    model.gate.set()
    job = make_scheduler().submit(b"\5")
    assert result_number(job.future) == 5
    assert len(job.times) == 5
    assert job.times == sorted(job.times)


def test_a_bad_picture_fails_alone_and_is_not_predicted(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    scheduler = make_scheduler()
    model.occupy(scheduler)
    answers = [scheduler.submit(data).future for data in (b"\1", b"bad", b"\2")]
    with pytest.raises(UndecodableImage):
        answers[1].result(TIMEOUT_SECONDS)
    model.gate.set()
    assert [result_number(answers[0]), result_number(answers[2])] == [1, 2]
    assert sorted(number for call in model.calls for number in call) == [0, 1, 2]


def test_pictures_are_decoded_while_the_model_is_busy_and_then_share_a_call(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    scheduler = make_scheduler()
    model.occupy(scheduler)
    pictures = [scheduler.submit(bytes([n])) for n in (1, 2, 3)]
    for _ in range(TIMEOUT_SECONDS * 100):
        if all(len(job.times) == 3 for job in pictures):
            break
        time.sleep(0.01)
    model.gate.set()
    assert [result_number(job.future) for job in pictures] == [1, 2, 3]
    assert model.calls == [[0], [1, 2, 3]]


def test_each_session_runs_one_call(model: Model, make_scheduler: Callable[..., Scheduler]) -> None:
    scheduler = make_scheduler(max_batch_size=1, threads=3, sessions=2)
    answers = [scheduler.submit(bytes([n])).future for n in range(5)]
    for _ in range(2):
        model.entered.get(timeout=TIMEOUT_SECONDS)
    with pytest.raises(queue.Empty):
        model.entered.get(timeout=0.2)
    model.gate.set()
    assert [result_number(answer) for answer in answers] == [0, 1, 2, 3, 4]


def test_a_picture_cancelled_in_the_queue_is_not_decoded(
    model: Model, make_scheduler: Callable[..., Scheduler]
) -> None:
    scheduler = make_scheduler(threads=1)
    model.occupy(scheduler)
    cancelled = scheduler.submit(b"\7")
    assert cancelled.future.cancel()
    model.gate.set()
    assert result_number(scheduler.submit(b"\1").future) == 1
    assert len(cancelled.times) == 1
    assert [7] not in model.calls


def test_a_waiting_task_gets_the_result_of_another_thread() -> None:
    async def classify() -> str:
        job: Job[str] = Job(b"picture")
        threading.Timer(0.01, job.future.set_result, ["red"]).start()
        return await job.wait()

    assert asyncio.run(classify()) == "red"


def test_the_error_of_a_failed_job_is_raised_and_forgotten() -> None:
    job: Job[str] = Job()
    job.future.set_exception(ValueError("damaged"))
    with pytest.raises(ValueError, match="damaged"):
        asyncio.run(job.wait())
    assert not hasattr(job, "future")


def test_a_cancelled_task_cancels_its_job_and_frees_the_picture() -> None:
    job: Job[str] = Job(b"picture")

    async def cancel() -> None:
        task = asyncio.create_task(job.wait())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    assert job.future.cancelled()
    assert job.data == b""
