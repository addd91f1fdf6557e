"""The model being served: its predictor, the threads that use it, and how one picture fares."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import numpy as np
from numpy.typing import NDArray

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
        self._scheduler = Scheduler(
            self._decode,
            self._infer,
            threads=settings.usable_threads(),
            sessions=way.sessions,
            max_batch_size=way.max_batch_size,
            max_queue_size=settings.max_queue_size,
        )
        metrics.model_info.labels(manifest.name, manifest.version, manifest.plugin).set(1)

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
        probabilities = await self.probabilities(data)
        return Classified.of(self._predictor.rank(probabilities, self._settings.top_k))

    async def probabilities(self, picture: bytes | NDArray[np.uint8]) -> NDArray[np.float32]:
        """The (classes,) probabilities of a picture, within the deadline.

        Args:
            picture: the bytes of a file, or what the model takes: (size, size, 3) uint8, RGB.
        """
        if isinstance(picture, bytes):
            submitted = self._scheduler.submit(picture)
        else:
            size = self._predictor.image_size
            if picture.shape != (size, size, 3) or picture.dtype != np.uint8:
                raise ValueError(
                    f"{picture.shape} {picture.dtype} where ({size}, {size}, 3) uint8 is expected"
                )
            submitted = self._scheduler.submit_decoded(picture.copy())
        probabilities = await self.answer(submitted)
        ((best, _),) = self._predictor.rank(probabilities, 1)
        self._metrics.pictures.inc()
        self._metrics.predictions.labels(best).inc()
        return probabilities

    async def answer(self, picture: Picture) -> NDArray[np.float32]:
        """The (classes,) probabilities of a submitted picture; dropped when its time is up."""
        async with within(self._settings.deadline_seconds, "no answer"):
            return await asyncio.wrap_future(picture.answer)

    def close(self) -> None:
        """Answer what is queued, then stop."""
        self._scheduler.close()

    def _decode(self, data: bytes) -> NDArray[np.uint8]:
        with self._metrics.decode_seconds.time():
            return decode(data, self._predictor.image_size, self._settings.max_pixels)

    def _infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._metrics.batch_size.observe(len(images))
        with self._metrics.inference_seconds.time():
            return self._predictor.predict(images)
