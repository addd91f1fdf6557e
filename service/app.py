"""The BentoML service: its start-up, the API that it declares to BentoML, and its shutdown."""

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
from service.engine.label_sets import missing_sets_warning
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


# These two classes describe the upload forms for BentoML's schema and clients. They pass the
# request on to the API methods without reading it.


class PictureUpload(bentoml.IODescriptor):
    """A form with one picture."""

    image: _Picture

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        return cls.model_construct(image=request)  # type: ignore[no-any-return]


class PicturesUpload(bentoml.IODescriptor):
    """A form with several pictures, each in a separate field named `images`."""

    images: list[_Picture]

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        return cls.model_construct(images=request)  # type: ignore[no-any-return]


@bentoml.service(
    name="graft",
    service_class=GraftService,
    logging={"access": {"enabled": False}},
    # BentoML's metrics keep a series for every path ever requested, so their memory has no limit.
    metrics={"enabled": False},
)
class Classifier:
    """Classifies pictures with the model that GRAFT_MODEL names."""

    @bentoml.on_deployment
    @staticmethod
    def verify() -> None:
        """Check the settings, the model and the port, and create the directory that workers share.

        This method also autotunes the model. It runs once, in BentoML's parent process, before the
        workers start. If a step raises a `GraftError`, the process prints the message and ends.
        """
        configure_process()
        try:
            make_paths_absolute()
            require_home()
            settings = _settings()
            settings.keys()  # fails if the file of API keys cannot be read
            check_bento_options(settings)
            bundle = load_verified(settings.model, settings.verify_key, "GRAFT_MODEL")
            autotune(bundle, settings)
            load_predictor(bundle, settings.device, threads=1)  # checks the golden answers
            if settings.shadow:
                challenger = load_verified(settings.shadow, settings.verify_key, "GRAFT_SHADOW")
                load_predictor(challenger, "cpu", threads=1)
            create_runtime_directory(worker_count())
        except GraftError as error:
            sys.exit(f"graft: {error}")
        log_summary(bundle.manifest, _log, "serving")
        if warning := missing_sets_warning(bundle.true_scores(), settings.confidence):
            _log.warning("%s", warning)
        defer_listening()
        exit_if_port_is_taken()

    def __init__(self) -> None:
        release_large_memory()
        configure_process()
        settings = _settings()
        if settings.access_log:
            log_requests()
        runtime_directory = join_runtime_directory()
        bundle = load_verified(settings.model, settings.verify_key, "GRAFT_MODEL")
        tuning = autotune(bundle, settings)
        self.state = ServiceState(settings, bundle, tuning, runtime_directory)
        if not settings.requires_keys:
            _log.info(
                "no API key is set, so everybody who can reach this server may use it; set "
                "GRAFT_API_KEYS to require a key"
            )
        if warning := self.state.model.fallback:
            _log.warning(warning)
        manifest = bundle.manifest
        _log.info("%s:%s runs with %s", manifest.name, manifest.version, tuning.summary())

    # BentoML's schema and clients need these two declarations. The requests themselves are answered
    # by the routes with the same paths in service/http/routes.py.

    @bentoml.api(route="/predict", input_spec=PictureUpload)
    async def predict(self, image: Request) -> Answer:
        """Classify one picture, sent as multipart field `image`, as JSON or as the request body."""
        return await predict(self.state, image)  # type: ignore[return-value]  # BentoML sends it

    @bentoml.api(route="/predict_batch", input_spec=PicturesUpload)
    async def predict_batch(self, images: Request) -> dict[str, Any]:
        """Classify the pictures in the multipart fields `images`; each gets a result or an error.

        The response is the JSON of a `BatchAnswer`, but the declared return type is a dict. With
        `BatchAnswer`, BentoML's client would drop the errors: it uses only the first type of the
        union in `BatchAnswer.results`.
        """
        return await predict_batch(self.state, images)  # type: ignore[return-value]

    def __is_ready__(self) -> bool:
        """Return True until the service starts to drain.

        This method does not check the model, because `__init__` has checked its golden answers.
        """
        return not self.state.is_draining

    @bentoml.on_startup
    def freeze_gc(self) -> None:
        """Make the garbage collector ignore all objects that exist at the end of the start-up.

        Otherwise each full collection would scan these objects and delay the responses.
        """
        gc.collect()
        gc.freeze()

    @bentoml.on_startup
    def drain_on_sigterm(self) -> None:
        """On SIGTERM, refuse new requests with 503 for GRAFT_DRAIN_SECONDS, then stop.

        The status 503 tells load balancers to send requests elsewhere. If stderr is a terminal, the
        service stops at once, because BentoML's parent process sends SIGTERM after Ctrl-C too.
        """
        old_handler = signal.getsignal(signal.SIGTERM)
        seconds = 0.0 if sys.stderr.isatty() else self.state.settings.drain_seconds
        loop = asyncio.get_running_loop()

        def drain(number: int, frame: FrameType | None) -> None:
            self.state.is_draining = True
            if callable(old_handler):  # call_soon_threadsafe also wakes a loop that sleeps
                loop.call_soon_threadsafe(loop.call_later, seconds, old_handler, number, frame)

        signal.signal(signal.SIGTERM, drain)

    @bentoml.on_startup
    async def watch_reloads(self) -> None:
        if self.state.settings.reload:
            self._reload_task = asyncio.create_task(watch_reloads(self.state))

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Close the model, then send the trace spans that are still pending.

        Both steps run in a thread, so that the event loop can finish cancelled requests.
        """
        await asyncio.to_thread(self.state.close)
        await asyncio.to_thread(tracing.flush)


def _settings() -> Settings:
    """Read the settings. If GRAFT_THREADS is 0 or unset, divide the cores among the workers."""
    settings = Settings.from_environment()
    threads = settings.threads or max(1, usable_cores() // worker_count())
    return settings.model_copy(update={"threads": threads})
