"""The BentoML service: how it starts, what it declares, how it stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Self

import bentoml
from bentoml.validators import ContentType
from starlette.requests import Request

from service.asgi import GraftService
from service.bundle.signature import load_verified
from service.bundle.summary import log_summary
from service.engine.autotune import autotune
from service.engine.device import load_predictor
from service.errors import GraftError
from service.http.bento_options import check_bento_options
from service.http.predictions import predict, predict_batch
from service.http.reloading import watch_reloads
from service.http.request_id import log_requests
from service.imaging import configure_process
from service.schemas import Answer
from service.server import tracing
from service.server.bentoml_configuration import worker_count
from service.server.environment import make_paths_absolute, require_home
from service.server.port import defer_listening, exit_if_port_is_taken
from service.server.runtime_directory import create_runtime_directory, join_runtime_directory
from service.settings import Settings
from service.state import ServiceState
from service.system.resources import release_large_memory, usable_cores

_log = logging.getLogger("bentoml.graft")  # a child of BentoML's logger, which shows INFO
_Picture = Annotated[Path, ContentType("image/*")]


# These two describe the forms to BentoML's schema and clients, and pass the request on unread.


class PictureUpload(bentoml.IODescriptor):
    """One picture."""

    image: _Picture

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        return cls.model_construct(image=request)  # type: ignore[no-any-return]


class PicturesUpload(bentoml.IODescriptor):
    """Several pictures, each in a field of its own."""

    images: list[_Picture]

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        return cls.model_construct(images=request)  # type: ignore[no-any-return]


@bentoml.service(
    name="graft",
    service_class=GraftService,
    logging={"access": {"enabled": False}},
    # BentoML keeps a series for every path that was ever requested: memory without a bound.
    metrics={"enabled": False},
)
class Classifier:
    """Classifies pictures with the model that GRAFT_MODEL names."""

    @bentoml.on_deployment
    @staticmethod
    def verify() -> None:
        """Check settings and model, and tune, once in the parent: an error ends the service."""
        configure_process()
        try:
            make_paths_absolute()
            require_home()
            settings = _settings()
            settings.keys()  # their file must be readable
            check_bento_options(settings)
            bundle = load_verified(settings.model, settings.verify_key)
            autotune(bundle, settings)
            load_predictor(bundle, settings.device, threads=1)  # checks the golden answers
            create_runtime_directory(worker_count())
        except GraftError as error:
            sys.exit(f"graft: {error}")
        log_summary(bundle.manifest, _log, "serving")
        defer_listening()
        exit_if_port_is_taken()

    def __init__(self) -> None:
        release_large_memory()
        configure_process()
        settings = _settings()
        if settings.access_log:
            log_requests()
        runtime_directory = join_runtime_directory()
        bundle = load_verified(settings.model, settings.verify_key)
        tuning = autotune(bundle, settings)
        self.state = ServiceState(settings, bundle, tuning, runtime_directory)
        if not settings.requires_keys:
            _log.info("no API key is set: everybody who reaches this server may use it")
        if warning := self.state.model.fallback:
            _log.warning(warning)
        manifest = bundle.manifest
        _log.info("%s:%s answers by %s", manifest.name, manifest.version, tuning.summary())

    # Declared for BentoML's schema and clients; the same paths in service/http/routes.py answer.

    @bentoml.api(route="/predict", input_spec=PictureUpload)
    async def predict(self, image: Request) -> Answer:
        """Classify one picture: multipart field `image`, JSON, or the picture as the body."""
        return await predict(self.state, image)  # type: ignore[return-value]  # passed on as it is

    @bentoml.api(route="/predict_batch", input_spec=PicturesUpload)
    async def predict_batch(self, images: Request) -> dict[str, Any]:
        """Classify the pictures in the multipart fields `images`; a bad one fails alone.

        Returns the JSON of a `BatchAnswer`. BentoML's client keeps only the first type of a union,
        so that a declared `BatchAnswer` would lose the errors.
        """
        return await predict_batch(self.state, images)  # type: ignore[return-value]

    def __is_ready__(self) -> bool:
        """Be ready until draining starts: __init__ has already checked the golden answers."""
        return not self.state.is_draining

    @bentoml.on_startup
    def freeze_gc(self) -> None:
        """Freeze the GC after start-up: full collections stalled answers by 0.2 s."""
        gc.collect()
        gc.freeze()

    @bentoml.on_startup
    def drain_on_sigterm(self) -> None:
        """On SIGTERM, answer 503 for a while, so that load balancers notice; then stop.

        BentoML's parent sends SIGTERM for Ctrl+C too: on a terminal there is no wait.
        """
        stop = signal.getsignal(signal.SIGTERM)
        seconds = 0.0 if sys.stderr.isatty() else self.state.settings.drain_seconds
        loop = asyncio.get_running_loop()

        def drain(number: int, frame: FrameType | None) -> None:
            self.state.is_draining = True
            if callable(stop):  # thread-safe call: it wakes a loop that sleeps
                loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, frame)

        signal.signal(signal.SIGTERM, drain)

    @bentoml.on_startup
    async def watch_reloads(self) -> None:
        if self.state.settings.reload:
            self._reload_task = asyncio.create_task(watch_reloads(self.state))

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Close the model in a thread: cancelled requests need the event loop to finish."""
        await asyncio.to_thread(self.state.close)
        await asyncio.to_thread(tracing.flush)


def _settings() -> Settings:
    """Read the environment; divide the cores of this machine among the workers."""
    settings = Settings.from_environment()
    threads = settings.threads or max(1, usable_cores() // worker_count())
    return settings.model_copy(update={"threads": threads})
