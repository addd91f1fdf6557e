"""The BentoML service: how it starts, what it promises, how it stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from types import FrameType
from typing import Any

import bentoml
from starlette.requests import Request

from service import tracing
from service.bento_switches import check_switches
from service.caller import make_paths_absolute, require_home
from service.configuration import worker_count
from service.device import load
from service.endpoints import predict, predict_batch
from service.errors import GraftError
from service.front import FrontedService
from service.imaging import configure_process
from service.keys import Keys
from service.machine import give_large_memory_back, usable_cores
from service.metrics import Metrics
from service.port import end_where_the_port_is_taken
from service.reloading import follow
from service.requests import log_requests
from service.runtime_directory import create, enter
from service.schemas import Answer, ModelName
from service.served import ServedModel
from service.settings import Settings
from service.signature import trusted
from service.summary import introduce
from service.tuning import known, tuned
from service.upload_room import UploadRoom
from service.uploads import PicturesUpload, PictureUpload
from service.wire import refuse_until_ready

_log = logging.getLogger("bentoml.graft")  # below BentoML's, whose INFO is shown


@bentoml.service(
    name="graft",
    service_class=FrontedService,
    logging={"access": {"enabled": False}},
    # BentoML's own figures are kept for each path ever asked for: 3,500 made-up paths cost 200 MB
    # and made /metrics 14 MB, too slow for Prometheus.
    metrics={"enabled": False},
)
class Classifier:
    """Answers what is on a picture, with the model that GRAFT_MODEL names."""

    @bentoml.on_deployment
    @staticmethod
    def verify() -> None:
        """Load and time the model once before any worker starts: a bad one ends it all here."""
        configure_process()
        try:
            make_paths_absolute()
            require_home()
            settings = _settings()
            settings.keys()  # their file must be readable
            check_switches(settings)
            bundle = trusted(settings.model, settings.verify_key)
            tuned(bundle, settings)
            load(bundle, settings.device, threads=1)  # also where it was timed at another start
            create(worker_count())
        except GraftError as error:
            sys.exit(f"graft: {error}")
        introduce(bundle.manifest, _log, "serving")
        refuse_until_ready()
        end_where_the_port_is_taken()

    def __init__(self) -> None:
        give_large_memory_back()
        configure_process()
        self.settings = _settings()
        if self.settings.access_log:
            log_requests()
        self.shared = enter()
        self.metrics = Metrics(shared=self.shared)
        self.keys = Keys(self.settings.keys())
        self.uploads = UploadRoom(self.settings.max_upload_bytes)
        bundle = trusted(self.settings.model, self.settings.verify_key)
        tuning = tuned(bundle, self.settings)
        self.model = ServedModel(bundle, tuning, self.settings, self.metrics)
        if not self.settings.asks_for_keys:
            _log.info("no key is asked for: whoever reaches this server may ask")
        if said := self.model.fallback:
            _log.warning(said)
        _log.info("%s:%s answers by %s", *self.model.name.model_dump().values(), tuning.line())
        self.is_draining = False
        self._swapping = asyncio.Lock()

    # Declared for BentoML's schema and clients; the routes of service/front.py, which
    # come first, call the same functions.

    @bentoml.api(route="/predict", input_spec=PictureUpload)
    async def predict(self, image: Request) -> Answer:
        """Classify one picture: multipart field `image`, JSON, or the picture as the body."""
        return await predict(self, image)  # type: ignore[return-value]  # BentoML passes it on

    @bentoml.api(route="/predict_batch", input_spec=PicturesUpload)
    async def predict_batch(self, images: Request) -> dict[str, Any]:
        """Classify the pictures in the multipart fields `images`; a bad one fails alone.

        A `BatchAnswer`: of a union BentoML's schema keeps the first kind, and its client would drop
        the errors.
        """
        return await predict_batch(self, images)  # type: ignore[return-value]

    def __is_ready__(self) -> bool:
        """Golden pictures were answered in __init__, before this is ever asked."""
        return not self.is_draining

    @bentoml.on_startup
    def spare_the_collector(self) -> None:
        """Freeze the GC after start-up: full collections stalled answers by 0.2 s."""
        gc.collect()
        gc.freeze()

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

    @bentoml.on_startup
    async def follow_reloads(self) -> None:
        if self.settings.reload:
            self._following = asyncio.create_task(follow(self))

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Not in the event loop: requests that were given up need it to leave."""
        await asyncio.to_thread(self.model.close)
        await asyncio.to_thread(tracing.flush)

    async def swap(self) -> ModelName:
        """Serve what GRAFT_MODEL names now, once it has proven itself; the name of the one before.

        Raises:
            BundleError: it must not be served; the old one still is.
            SettingError: GRAFT_VERIFY_KEY cannot be read any more; as before.
        """
        async with self._swapping:
            old = self.model
            new = await asyncio.to_thread(self._load_another)
            if new is not None:
                self.model = new
                await asyncio.to_thread(old.close)
            return old.name

    def _load_another(self) -> ServedModel | None:
        bundle = trusted(self.settings.model, self.settings.verify_key)
        if bundle.manifest.id == self.model.bundle.manifest.id:
            return None
        # Never timed here: beside requests every way of calling the model looks slow.
        untried = self.model.tuning.model_copy(update={"curve": ()})
        tuning = known(bundle, self.settings) or untried
        return ServedModel(bundle, tuning, self.settings, self.metrics)


def _settings() -> Settings:
    """What the environment says, with the cores of this machine divided among the workers."""
    settings = Settings.from_environment()
    threads = settings.threads or max(1, usable_cores() // worker_count())
    return settings.model_copy(update={"threads": threads})
