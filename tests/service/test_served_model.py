"""The served model, with the tiny bundle."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry

from service.bundle.manifest import DRIFT, Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.engine.classification import Classification
from service.engine.session_config import SessionConfig, TuningResult
from service.errors import (
    BundleError,
    DeadlineExceeded,
    NotExplainable,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    UndecodableImage,
)
from service.explanation.explainer import Explanation
from service.http.predictions import gather_all
from service.metrics import Metrics
from service.monitoring.drift import KINDS
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
def make_model(
    tiny_bundle: Bundle, registry: CollectorRegistry
) -> Iterator[Callable[..., ServedModel]]:
    models = []

    def make_model(**settings: Any) -> ServedModel:
        metrics = Metrics(registry)
        models.append(ServedModel(tiny_bundle, TUNING, Settings(**settings), metrics))
        return models[-1]

    yield make_model
    for model in models:
        model.close()


def test_a_picture_is_classified_and_counted(
    make_model: Callable[..., ServedModel], registry: CollectorRegistry, draw: Any
) -> None:
    answer = asyncio.run(make_model(top_k=2).classify(draw("green")))
    assert answer["label"] == "green"
    assert len(answer["top"]) == 2
    assert Classified.model_validate(answer, strict=True).top[0].score == answer["score"]
    assert registry.get_sample_value("graft_pictures_total") == 1
    assert registry.get_sample_value("graft_predictions_total", {"label": "green"}) == 1
    assert registry.get_sample_value("graft_decode_seconds_count") == 1
    assert registry.get_sample_value("graft_inference_seconds_count") == 1


def test_every_label_of_a_picture_is_counted(
    staging: Path, multi_label_manifest: Manifest, registry: CollectorRegistry, draw: Any
) -> None:
    bundle = seal(staging, multi_label_manifest, staging.parent)
    model = ServedModel(bundle, TUNING, Settings(), Metrics(registry))
    answer = asyncio.run(model.classify(draw("red")))
    assert [label["label"] for label in answer["labels"]] == ["red", "green"]
    for label in ("red", "green"):
        assert registry.get_sample_value("graft_predictions_total", {"label": label}) == 1
    model.close()


def test_an_answer_has_the_set_of_labels(staging: Path, manifest: Manifest, draw: Any) -> None:
    (staging / "calibration.json").write_text(json.dumps({"true_scores": [0.5] * 19}))
    bundle = seal(staging, manifest, staging.parent)
    for settings, expected in ((Settings(), ["red"]), (Settings(confidence=0), None)):
        model = ServedModel(bundle, TUNING, settings, Metrics(CollectorRegistry()))
        answer = asyncio.run(model.classify(draw("red")))
        assert answer.get("set") == expected
        assert Classified.model_validate(answer, strict=True).set == expected
        model.close()


def test_pictures_are_shown_unless_they_are_private(
    make_model: Callable[..., ServedModel], staging: Path, manifest: Manifest
) -> None:
    assert len(make_model().samples) == 3
    (staging / "report.html").write_text("report")
    bundle = seal(staging, manifest, staging.parent)
    for is_shown, report, number in ((True, b"report", 3), (False, None, 0)):
        settings = Settings(show_pictures=is_shown)
        model = ServedModel(bundle, TUNING, settings, Metrics(CollectorRegistry()))
        assert (model.report, len(model.samples)) == (report, number)
        model.close()


def test_errors_of_the_decoder_are_raised(
    make_model: Callable[..., ServedModel], draw: Any
) -> None:
    model = make_model(max_pixels=100)
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
    """Switch the garbage collector off, so that uploads are freed by reference counts alone."""
    Upload.freed.clear()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("error", [BundleError, NotExplainable, None])
def test_an_explained_picture_does_not_stay_in_memory(
    make_model: Callable[..., ServedModel], draw: Any, error: type[Exception] | None
) -> None:
    model, images = make_model(), []

    def show(explanation: Explanation) -> str:
        images.append(weakref.ref(explanation.image))
        if error:
            raise error("no explanation")
        return explanation.label

    async def explain(upload: Upload) -> None:
        with suppress(BundleError, NotExplainable):
            assert await model.explain(upload, None, show) == "red"

    asyncio.run(explain(Upload(draw("red"))))
    model.close()
    assert len(Upload.freed) == 1
    assert [image() for image in images] == [None]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("as_batch", [False, True])
def test_a_refused_picture_does_not_stay_in_memory(
    make_model: Callable[..., ServedModel], as_batch: bool
) -> None:
    model = make_model()

    async def classify(upload: Upload) -> None:
        with suppress(RequestError):
            await (gather_all([model.classify(upload)]) if as_batch else model.classify(upload))

    uploads = [Upload(b"no picture"), Upload(b"\xff\xd8\xff" + bytes(100))]
    sizes = [len(upload) for upload in uploads]
    while uploads:
        asyncio.run(classify(uploads.pop()))
    model.close()  # its threads release their last task
    assert sorted(Upload.freed) == sorted(sizes)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("as_batch", [False, True])
def test_a_picture_past_its_deadline_does_not_stay_in_memory(
    make_model: Callable[..., ServedModel],
    draw: Any,
    monkeypatch: pytest.MonkeyPatch,
    as_batch: bool,
) -> None:
    gate = threading.Event()
    model = make_model(threads=1, deadline_seconds=0.05)
    monkeypatch.setattr(
        model._predictor, "decode", lambda *_: gate.wait(20) and np.zeros((32, 32, 3))
    )

    async def classify(uploads: list[Upload]) -> None:
        classifications = [model.classify(uploads.pop()) for _ in range(2 if as_batch else 1)]
        with suppress(DeadlineExceeded):
            await (gather_all(classifications) if as_batch else classifications.pop())

    uploads = [Upload(draw()), Upload(draw())]
    for _ in range(1 if as_batch else 2):
        asyncio.run(classify(uploads))
    gate.set()
    model.close()
    assert len(Upload.freed) == 2


@pytest.mark.usefixtures("no_collector")
def test_an_abandoned_error_frees_its_picture(
    make_model: Callable[..., ServedModel],
) -> None:
    model = make_model()
    job = model._scheduler.submit(Upload(b"no picture"))
    assert job.future.exception(20)
    job.cancel()
    del job
    model.close()
    assert Upload.freed


@pytest.mark.usefixtures("no_collector")
def test_a_picture_cancelled_in_the_queue_does_not_stay_in_memory(
    make_model: Callable[..., ServedModel], draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, entered = threading.Event(), threading.Event()
    model = make_model(threads=1)

    def interpret_after_gate(outputs: Any) -> Any:
        entered.set()
        assert gate.wait(20)
        return [Classification(np.array([1, 0, 0], np.float32), outputs.embeddings[0])] * len(
            outputs.embeddings
        )

    monkeypatch.setattr(model._predictor, "interpret", interpret_after_gate)
    uploads = [Upload(draw())]

    async def cancel_queued() -> None:
        running = asyncio.create_task(model.classification(draw()))
        while not entered.is_set():  # the only thread is blocked now
            await asyncio.sleep(0.01)
        queued = asyncio.create_task(model.classification(uploads.pop()))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.wait([queued])
        del queued
        try:
            assert Upload.freed
        finally:
            gate.set()
        running.cancel()

    asyncio.run(cancel_queued())


def test_a_picture_past_its_deadline_is_dropped(
    make_model: Callable[..., ServedModel],
    registry: CollectorRegistry,
    draw: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = threading.Event()
    model = make_model(deadline_seconds=0.1, threads=1)
    interpret = model._predictor.interpret

    def interpret_after_gate(outputs: Any) -> Any:
        assert gate.wait(20)
        return interpret(outputs)

    monkeypatch.setattr(model._predictor, "interpret", interpret_after_gate)

    async def classify_two() -> list[Any]:
        jobs = (model.classify(draw("red")), model.classify(draw("green")))
        return await asyncio.gather(*jobs, return_exceptions=True)

    answers = asyncio.run(classify_two())
    assert [type(answer) for answer in answers] == [DeadlineExceeded] * 2
    assert str(answers[0]) == "the picture was not classified within 0.1 s; try again later"
    gate.set()
    model.close()
    assert registry.get_sample_value("graft_inference_seconds_count") <= 1


def test_admission_is_counted_until_it_ends(
    make_model: Callable[..., ServedModel], registry: CollectorRegistry
) -> None:
    model = make_model(max_queue_size=2, max_pictures=2)
    with model.admit(2):
        assert registry.get_sample_value("graft_queue_depth_pictures") == 2
        assert model.is_full
        with pytest.raises(Overloaded), model.admit(1):
            pass
    assert registry.get_sample_value("graft_queue_depth_pictures") == 0
    assert not model.is_full


def test_closing_waits_for_admitted_pictures(
    make_model: Callable[..., ServedModel], draw: Any
) -> None:
    model = make_model()
    closing = threading.Thread(target=model.close)
    with model.admit(1):
        closing.start()
        closing.join(0.2)
        assert closing.is_alive()
        assert asyncio.run(model.classify(draw("blue")))["label"] == "blue"
    closing.join(20)
    assert not closing.is_alive()


def drift(registry: CollectorRegistry, kind: str) -> float | None:
    return registry.get_sample_value("graft_drift_ratio", {"kind": kind})


def test_darkened_pictures_raise_the_drift_until_the_model_is_replaced(
    make_model: Callable[..., ServedModel], registry: CollectorRegistry, draw: Any
) -> None:
    model = make_model(max_queue_size=200)
    colours = [draw(colour, "PNG") for colour in ("red", "green", "blue")]
    dark = Image.new("RGB", (32, 32), (150, 0, 0))
    buffer = io.BytesIO()
    dark.save(buffer, "PNG")

    async def classify(pictures: list[bytes]) -> None:
        await asyncio.gather(*(model.classify(picture) for picture in pictures))

    asyncio.run(classify(colours * 50))
    ordinary = {kind: drift(registry, kind) for kind in ("embedding", "score", "class")}
    assert all(ratio is not None and ratio < 1 for ratio in ordinary.values())

    async def explain() -> None:
        for _ in range(100):
            await model.explain(buffer.getvalue(), None, lambda explanation: None)

    asyncio.run(explain())  # explanations do not count as traffic
    assert {kind: drift(registry, kind) for kind in ordinary} == ordinary
    asyncio.run(classify([buffer.getvalue()] * 100))
    assert (drift(registry, "embedding") or 0) > 1
    model.close()
    assert {drift(registry, kind) for kind in KINDS} == {0}


def test_a_model_without_reference_shows_no_drift(
    staging: Path, manifest: Manifest, registry: CollectorRegistry
) -> None:
    (staging / DRIFT).unlink()
    bundle = seal(staging, manifest, staging.parent)
    ServedModel(bundle, TUNING, Settings(), Metrics(registry)).close()
    assert drift(registry, "embedding") is None
