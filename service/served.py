"""The model being served: its predictor, the threads that use it, and how one picture fares."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import numpy as np
from numpy.typing import NDArray

from service import tracing
from service.bundle import Bundle
from service.errors import DeadlineExceeded
from service.imaging import decode
from service.metrics import Metrics
from service.predictor import Predictor
from service.scheduler import Picture, Scheduler
from service.schemas import Classified, ModelName
from service.settings import Settings
from service.tuning import Tuning


@asynccontextmanager
async def within(seconds: float, failure: str) -> AsyncIterator[None]:
    """Give up what is inside after `seconds`.

    Raises:
        DeadlineExceeded: the message is `failure` and the time.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DeadlineExceeded(f"{failure} within {seconds:g} s") from None


class ServedModel:
    """A verified model that answers; replaced as a whole when another is to be served.

    Raises:
        BundleError: the model cannot be loaded or does not give its recorded answers.
    """

    def __init__(
        self, bundle: Bundle, tuning: Tuning, settings: Settings, metrics: Metrics
    ) -> None:
        self.bundle, self.tuning = bundle, tuning
        manifest = bundle.manifest
        self.name = ModelName(name=manifest.name, version=manifest.version)
        self._settings, self._metrics = settings, metrics
        way = tuning.choice
        self._predictor = Predictor(bundle, way.session_threads, way.sessions)
        # Functions that do not know this object: a circle of references would keep the model's
        # memory when it is replaced, for the garbage collector hardly ever comes.
        self._scheduler = Scheduler(
            functools.partial(_decode, self._predictor, settings, metrics),
            functools.partial(_infer, self._predictor, metrics),
            threads=settings.usable_threads(),
            sessions=way.sessions,
            max_batch_size=way.max_batch_size,
            max_queue_size=settings.max_queue_size,
        )
        metrics.show(manifest)

    def refuse_if_full(self) -> None:
        """Raise Overloaded where there is no room for a picture."""
        self._scheduler.refuse_if_full()

    @contextmanager
    def admit(self, pictures: int) -> Iterator[None]:
        """Let pictures in until they are answered; raises Overloaded where there is no room."""
        with self._scheduler.admit(pictures):
            self._metrics.queue_depth.inc(pictures)
            try:
                yield
            finally:
                self._metrics.queue_depth.dec(pictures)

    async def classify(self, data: bytes) -> Classified:
        """bytes -> decode -> queue -> answer, within the deadline."""
        probabilities = await self.answer(self._scheduler.submit(data))
        answer = Classified.of(self._predictor.rank(probabilities, self._settings.top_k))
        self._metrics.pictures.inc()
        self._metrics.predictions.labels(answer.label).inc()
        return answer

    async def answer(self, picture: Picture) -> NDArray[np.float32]:
        """The (classes,) probabilities of a submitted picture; dropped when its time is up."""
        try:
            async with within(self._settings.deadline_seconds, "no answer"):
                probabilities = await asyncio.wrap_future(picture.answer)
        finally:
            tracing.record(tuple(picture.times))
        _, _, decoded, taken, _ = picture.times
        self._metrics.queue_seconds.observe(taken - decoded)
        return probabilities

    def close(self) -> None:
        """Answer what is queued, then stop."""
        self._metrics.show(self.bundle.manifest, is_served=False)
        self._scheduler.close()


def _decode(
    predictor: Predictor, settings: Settings, metrics: Metrics, data: bytes
) -> NDArray[np.uint8]:
    with metrics.decode_seconds.time():
        return decode(data, predictor.image_size, settings.max_pixels)


def _infer(
    predictor: Predictor, metrics: Metrics, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    metrics.batch_size.observe(len(images))
    with metrics.inference_seconds.time():
        return predictor.predict(images)
