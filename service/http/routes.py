"""Our routes before BentoML's: what takes pictures goes a short way, all else goes to BentoML.

BentoML's own way to a method costs 0.2 to 0.4 ms a request, and more in stalls: a tracing
middleware that is there without an exporter, a timer that outlives each request, a context, its
typed inputs and outputs. Here a request meets what it needs and no more.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import bentoml
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from service.bundle.manifest import Bundle
from service.bundle.store import resolve
from service.bundle.summary import introduce
from service.errors import Draining, GraftError, RequestError
from service.http.cors import cors_options
from service.http.error_format import ErrorShape, refusal
from service.http.load_shedding import Admission
from service.http.pages.pages import show_docs, show_metrics, show_model, show_ui
from service.http.predictions import predict, predict_batch
from service.http.reloading import reload
from service.http.request_id import Requests, request_id, silence_parser
from service.oip import handlers
from service.server.protocol_limits import bound_requests
from service.settings import Settings
from service.tracing import middleware

if TYPE_CHECKING:
    from service.app import Classifier

BUG = {
    "code": "internal_server_error",
    "message": "An unexpected error has occurred, please check the server log.",
}
MODELS: Final = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
_log = logging.getLogger("graft")
_shown = logging.getLogger("bentoml.graft")  # below BentoML's, whose INFO is shown

Endpoint = Callable[["Classifier", Request], Awaitable[Response]]
TAKING_PICTURES: Final[dict[str, Endpoint]] = {
    "/predict": predict,
    "/predict_batch": predict_batch,
    **{f"{path}/infer": handlers.infer for path in MODELS},
}
"""What is posted to; it is turned away while the queue is full."""


class FrontedService(bentoml.Service[Any]):
    """A BentoML service, with our routes before its own."""

    @property
    def openapi_spec(self) -> Any:
        """What BentoML writes into a bento, and asks for then alone: say which model that holds."""
        with suppress(GraftError):  # without a model BentoML itself ends the build
            model = Bundle.read(resolve(Settings.model_fields["model"].default))
            introduce(model.manifest, _shown, "this bento serves")
        return super().openapi_spec

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        settings = Settings.from_environment()
        bound_requests(settings.keep_alive_seconds)  # uvicorn is set up after this
        silence_parser()
        front = self._routes(super().to_asgi(is_main))
        app: ASGIApp = Admission(ErrorShape(front), front.state, TAKING_PICTURES)
        if options := cors_options(settings):
            # Before every route, errors and refusals included, or pages could not read those.
            app = ErrorShape(CORSMiddleware(app, **options))
        return Requests(app)

    def _routes(self, bento: Starlette) -> Starlette:
        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            async with bento.router.lifespan_context(bento):  # makes the Classifier
                app.state.service = bentoml.get_current_service()
                app.state.service.metrics.begin(route.path for route in counted())
                yield

        front = Starlette(routes=routes(), lifespan=lifespan)
        # Their redirects would send callers to whatever host their request had named.
        front.router.redirect_slashes = bento.router.redirect_slashes = False
        front.router.default = bento
        return front


def routes() -> list[Route]:
    """What we answer ourselves; everything else is BentoML's."""
    return [
        *counted(),
        Route("/v2/health/live", handlers.show_live),
        Route("/v2/health/ready", handlers.show_ready),
        Route("/ui", show_ui),
        Route("/metrics", show_metrics),
        Route("/docs.json", show_docs),
    ]


def counted() -> list[Route]:
    """What asks for the key, is counted, and is traced where that is switched on."""
    return [
        *(endpoint("POST", path, answer) for path, answer in TAKING_PICTURES.items()),
        endpoint("GET", "/model", show_model),
        endpoint("POST", "/admin/reload", reload),
        endpoint("GET", "/v2", handlers.show_server),
        *(endpoint("GET", path, handlers.show_metadata) for path in MODELS),
        *(endpoint("GET", f"{path}/ready", handlers.show_model_ready) for path in MODELS),
    ]


def endpoint(method: str, path: str, answer: Endpoint) -> Route:
    """A route that asks for the key and is counted; its refusals become their status and JSON."""

    async def answered(request: Request) -> Response:
        service: Classifier = request.app.state.service
        metrics = service.metrics
        try:
            with metrics.request_seconds.labels(path).time():
                service.keys.check(request.headers)
                if service.is_draining:
                    raise Draining("this server is stopping; send the request again")
                response = await answer(service, request)
        except RequestError as error:
            metrics.refusals.labels(error.code).inc()
            response = refusal(error)
        except Exception:  # a bug: it stays in the log
            _log.exception("request %s to %s met a bug", request_id.get(), path)
            response = JSONResponse({"error": BUG}, 500)
        if service.is_draining:  # or the next request on it might meet the server's end
            response.headers["Connection"] = "close"
        metrics.requests.labels(path, response.status_code).inc()
        return response

    return Route(path, answered, methods=[method], middleware=middleware())
