"""The served model, with the tiny bundle."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from service.bundle.reading import Bundle
from service.engine.session_config import SessionConfig, TuningResult
from service.errors import (
    DeadlineExceeded,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    UndecodableImage,
)
from service.http.predictions import gather_all
from service.metrics import Metrics
from service.schemas import Classified
from service.served_model import ServedModel
from service.settings import Settings

TUNING = TuningResult(
    cores=2, curve=(), choice=SessionConfig(sessions=1, session_threads=1, max_batch_size=4)
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def new_model(
    tiny_bundle: Bundle, registry: CollectorRegistry
) -> Iterator[Callable[..., ServedModel]]:
    models = []

    def new_model(**settings: Any) -> ServedModel:
        metrics = Metrics(registry)
        models.append(ServedModel(tiny_bundle, TUNING, Settings(**settings), metrics))
        return models[-1]

    yield new_model
    for model in models:
        model.close()


def test_a_picture_is_classified_and_counted(
    new_model: Callable[..., ServedModel], registry: CollectorRegistry, draw: Any
) -> None:
    answer = asyncio.run(new_model(top_k=2).classify(draw("green")))
    assert answer["label"] == "green"
    assert len(answer["top"]) == 2
    assert Classified.model_validate(answer, strict=True).top[0].score == answer["score"]
    assert registry.get_sample_value("graft_pictures_total") == 1
    assert registry.get_sample_value("graft_predictions_total", {"label": "green"}) == 1
    assert registry.get_sample_value("graft_decode_seconds_count") == 1
    assert registry.get_sample_value("graft_inference_seconds_count") == 1


def test_errors_of_the_decoder_are_raised(new_model: Callable[..., ServedModel], draw: Any) -> None:
    model = new_model(max_pixels=100)
    with pytest.raises(PayloadTooLarge):
        asyncio.run(model.classify(draw()))
    with pytest.raises(UndecodableImage):
        asyncio.run(model.classify(b""))


class Upload(bytes):
    """Bytes that record when they are freed; bytes have no weak references."""

    freed: ClassVar[list[int]] = []

    def __del__(self) -> None:
        self.freed.append(len(self))


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switch the garbage collector off: it runs late, and does not count bytes."""
    Upload.freed.clear()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("together", [False, True])
def test_a_refused_picture_does_not_stay_in_memory(
    new_model: Callable[..., ServedModel], together: bool
) -> None:
    model = new_model()

    async def ask(upload: Upload) -> None:
        with suppress(RequestError):
            await (gather_all([model.classify(upload)]) if together else model.classify(upload))

    uploads = [Upload(b"no picture"), Upload(b"\xff\xd8\xff" + bytes(100))]
    sizes = [len(upload) for upload in uploads]
    while uploads:
        asyncio.run(ask(uploads.pop()))
    model.close()  # its threads let go of their last task
    assert sorted(Upload.freed) == sorted(sizes)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("together", [False, True])
def test_a_picture_whose_time_is_up_does_not_stay_in_memory(
    new_model: Callable[..., ServedModel],
    draw: Any,
    monkeypatch: pytest.MonkeyPatch,
    together: bool,
) -> None:
    gate = threading.Event()
    model = new_model(threads=1, deadline_seconds=0.05)
    monkeypatch.setattr(
        model._predictor, "decode", lambda *_: gate.wait(20) and np.zeros((32, 32, 3))
    )

    async def ask(uploads: list[Upload]) -> None:
        asked = [model.classify(uploads.pop()) for _ in range(2 if together else 1)]
        with suppress(DeadlineExceeded):
            await (gather_all(asked) if together else asked.pop())

    uploads = [Upload(draw()), Upload(draw())]
    for _ in range(1 if together else 2):
        asyncio.run(ask(uploads))
    gate.set()
    model.close()
    assert len(Upload.freed) == 2


@pytest.mark.usefixtures("no_collector")
def test_an_error_that_nobody_waits_for_any_more_frees_its_picture(
    new_model: Callable[..., ServedModel],
) -> None:
    model = new_model()
    job = model._scheduler.submit(Upload(b"no picture"))
    assert job.future.exception(20)
    job.cancel()
    del job
    model.close()
    assert Upload.freed


@pytest.mark.usefixtures("no_collector")
def test_a_picture_given_up_in_the_queue_does_not_stay_in_memory(
    new_model: Callable[..., ServedModel], draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, entered = threading.Event(), threading.Event()
    model = new_model(threads=1)

    def wait(images: Any) -> Any:
        entered.set()
        assert gate.wait(20)
        return [[1, 0, 0]] * len(images)

    monkeypatch.setattr(model._predictor, "predict", wait)
    uploads = [Upload(draw())]

    async def give_up() -> None:
        held = asyncio.create_task(model.probabilities(draw()))
        while not entered.is_set():  # the only thread is in there now
            await asyncio.sleep(0.01)
        queued = asyncio.create_task(model.probabilities(uploads.pop()))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.wait([queued])
        del queued
        try:
            assert Upload.freed
        finally:
            gate.set()
        held.cancel()

    asyncio.run(give_up())


def test_a_picture_whose_time_is_up_is_dropped(
    new_model: Callable[..., ServedModel],
    registry: CollectorRegistry,
    draw: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = threading.Event()
    model = new_model(deadline_seconds=0.1, threads=1)
    predict = model._predictor.predict

    def wait(images: Any) -> Any:
        assert gate.wait(20)
        return predict(images)

    monkeypatch.setattr(model._predictor, "predict", wait)

    async def two() -> list[Any]:
        jobs = (model.classify(draw("red")), model.classify(draw("green")))
        return await asyncio.gather(*jobs, return_exceptions=True)

    answers = asyncio.run(two())
    assert [type(answer) for answer in answers] == [DeadlineExceeded] * 2
    assert str(answers[0]) == "no answer within 0.1 s; try again later"
    gate.set()
    model.close()
    assert registry.get_sample_value("graft_inference_seconds_count") <= 1


def test_admission_is_counted_until_it_ends(
    new_model: Callable[..., ServedModel], registry: CollectorRegistry
) -> None:
    model = new_model(max_queue_size=2, max_pictures=2)
    with model.admit(2):
        assert registry.get_sample_value("graft_queue_depth_pictures") == 2
        assert model.is_full
        with pytest.raises(Overloaded), model.admit(1):
            pass
    assert registry.get_sample_value("graft_queue_depth_pictures") == 0
    assert not model.is_full


def test_closing_waits_for_admitted_pictures(
    new_model: Callable[..., ServedModel], draw: Any
) -> None:
    model = new_model()
    closing = threading.Thread(target=model.close)
    with model.admit(1):
        closing.start()
        closing.join(0.2)
        assert closing.is_alive()
        assert asyncio.run(model.classify(draw("blue")))["label"] == "blue"
    closing.join(20)
    assert not closing.is_alive()
