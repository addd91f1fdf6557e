"""The HTTP service: bytes -> decode per request -> queue -> batch -> ONNX session -> answer."""

from __future__ import annotations

import asyncio
import functools
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

import bentoml
import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from service.batching import Batcher
from service.bundle import Bundle
from service.errors import DeadlineExceeded, Draining, GraftError, RequestError
from service.imaging import decode
from service.metrics import Metrics
from service.pages import describe, pages
from service.predictor import Predictor
from service.responses import ErrorShape, refusal
from service.schemas import Answer, BatchAnswer, Classified, ModelName, Refusal
from service.settings import MAX_WAIT_SECONDS, Settings
from service.store import resolve
from service.uploads import (
    PicturesUpload,
    PictureUpload,
    UploadRoom,
    discard_rest,
    read_picture,
    read_pictures,
)

BENTOML_TIMEOUT_SECONDS = 2 * MAX_WAIT_SECONDS + 5
"""BentoML's own limit, whose 504 has another shape: above what reading and answering may take."""

Endpoint = Callable[..., Awaitable[Any]]


def answer_errors(endpoint: Endpoint) -> Endpoint:
    """Count what an endpoint answers, and turn its refusals into their status and JSON."""

    path = f"/{endpoint.__name__}"

    @functools.wraps(endpoint)
    async def answered(self: Classifier, **inputs: Request) -> Any:
        status, result = 200, None
        try:
            with self.metrics.request_seconds.labels(path).time():
                self.refuse_while_draining()
                result = await endpoint(self, **inputs)
        except RequestError as error:
            self.metrics.refusals.labels(error.code).inc()
            status, result = error.status, refusal(error)
            await discard_rest(*inputs.values())
        except Exception:  # a bug: BentoML logs it and answers 500 without details
            self.metrics.requests.labels(path, 500).inc()
            raise
        self.metrics.requests.labels(path, status).inc()
        return result

    return answered


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


@bentoml.service(
    name="graft",
    traffic={"timeout": BENTOML_TIMEOUT_SECONDS},
    logging={"access": {"enabled": False}},
    # BentoML's own figures are kept for each path ever asked for: 3,500 made-up paths cost 200 MB
    # and made /metrics 14 MB, too slow for Prometheus.
    metrics={"enabled": False},
)
@bentoml.asgi_app(pages)
class Classifier:
    """Answers what is on a picture, with the model that GRAFT_MODEL names."""

    @bentoml.on_deployment
    @staticmethod
    def verify() -> None:
        """Load the model once before any worker starts: a bad one ends the service here."""
        try:
            settings = Settings.from_environment()
            Predictor(Bundle.read(resolve(settings.model)), settings.usable_threads())
        except GraftError as error:
            sys.exit(f"graft: {error}")

    def __init__(self) -> None:
        self.settings = Settings.from_environment()
        threads = self.settings.usable_threads()
        self.predictor = Predictor(Bundle.read(resolve(self.settings.model)), threads)
        self.metrics = Metrics()
        self.decoders = ThreadPoolExecutor(threads, "decode")
        self.batcher = Batcher(
            self._infer, self.settings.max_batch_size, self.settings.max_queue_size
        )
        self.uploads = UploadRoom(self.settings.max_upload_bytes)
        self.is_draining = False
        manifest = self.predictor.bundle.manifest
        pages.state.model = manifest.public()
        pages.state.docs = describe(Classifier.openapi_spec.asdict(), manifest)  # type: ignore[attr-defined]
        self.model = ModelName(name=manifest.name, version=manifest.version)
        self.metrics.model_info.labels(manifest.name, manifest.version, manifest.plugin).set(1)

    @bentoml.api(route="/predict", input_spec=PictureUpload)
    @answer_errors
    async def predict(self, image: Request) -> Answer:
        """Classify one picture: multipart field `image`, or the picture itself as the body."""
        with self.uploads.request() as take:
            async with within(self.settings.upload_timeout_seconds, "the body did not arrive"):
                picture = await read_picture(image, self.settings, take)
            with self._admit(1):
                answer = await self._classify(picture)
        return Answer(**dict(answer), model=self.model)

    @bentoml.api(route="/predict_batch", input_spec=PicturesUpload)
    @answer_errors
    async def predict_batch(self, images: Request) -> BatchAnswer:
        """Classify the pictures in the multipart fields `images`; a bad one fails alone."""
        with self.uploads.request() as take:
            async with within(self.settings.upload_timeout_seconds, "the body did not arrive"):
                pictures = await read_pictures(images, self.settings, take)
            with self._admit(len(pictures)):
                results = await asyncio.gather(*map(self._classify_or_refuse, pictures))
        return BatchAnswer(results=list(results), model=self.model)

    def __is_ready__(self) -> bool:
        """Golden pictures were answered in __init__, before this is ever asked."""
        return not self.is_draining

    @bentoml.on_startup
    def drain_on_sigterm(self) -> None:
        """At SIGTERM say 503 for a while, so that load balancers notice; then the server stops.

        Ctrl+C arrives as SIGTERM too, sent by BentoML's parent: on a terminal nobody wants to wait.
        """
        stop = signal.getsignal(signal.SIGTERM)
        seconds = 0.0 if sys.stderr.isatty() else self.settings.drain_seconds
        loop = asyncio.get_running_loop()

        def drain(number: int, frame: FrameType | None) -> None:
            self.is_draining = True
            if callable(stop):  # a signal may come while the loop sleeps: it must be woken
                loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, frame)

        signal.signal(signal.SIGTERM, drain)

    @bentoml.on_shutdown
    def close(self) -> None:
        self.decoders.shutdown()
        self.batcher.close()

    def refuse_while_draining(self) -> None:
        if self.is_draining:
            raise Draining("this server is stopping; send the request again")

    async def _classify(self, data: bytes) -> Classified:
        """bytes -> decode -> queue -> answer, within the deadline."""
        async with within(self.settings.deadline_seconds, "no answer"):
            loop = asyncio.get_running_loop()
            image = await loop.run_in_executor(self.decoders, self._decode, data)
            probabilities = await asyncio.wrap_future(self.batcher.submit(image))
        answer = Classified.of(self.predictor.rank(probabilities, self.settings.top_k))
        self.metrics.pictures.inc()
        self.metrics.predictions.labels(answer.label).inc()
        return answer

    async def _classify_or_refuse(self, data: bytes | RequestError) -> Classified | Refusal:
        try:
            if isinstance(data, RequestError):
                raise data
            return await self._classify(data)
        except RequestError as error:
            self.metrics.refusals.labels(error.code).inc()
            return Refusal.of(error)

    def _decode(self, data: bytes) -> NDArray[np.uint8]:
        with self.metrics.decode_seconds.time():
            return decode(data, self.predictor.image_size, self.settings.max_pixels)

    def _infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.metrics.batch_size.observe(len(images))
        with self.metrics.inference_seconds.time():
            return self.predictor.predict(images)

    @contextmanager
    def _admit(self, pictures: int) -> Iterator[None]:
        with self.batcher.admit(pictures):
            self.metrics.queue_depth.inc(pictures)
            try:
                yield
            finally:
                self.metrics.queue_depth.dec(pictures)


Classifier.add_asgi_middleware(ErrorShape)  # type: ignore[attr-defined]  # a bentoml.Service
