"""The ASGI application: Graft's own routes and middleware in front of BentoML's application.

Graft's routes come first because BentoML's own dispatch is slow: see docs/decisions/serving.md.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import bentoml
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from service.bundle.reading import Bundle
from service.bundle.store import resolve
from service.bundle.summary import log_summary
from service.errors import GraftError
from service.http import routes as http_routes
from service.http.cors import cors_options
from service.http.error_format import ErrorFormatMiddleware
from service.http.load_shedding import LoadSheddingMiddleware
from service.http.pages.openapi import build_document
from service.http.request_id import RequestIdMiddleware, silence_parser
from service.oip import openapi as oip_openapi
from service.oip import routes as oip_routes
from service.server.protocol_limits import bound_requests
from service.settings import Settings
from service.state import ServiceState

ALL_ENDPOINTS: Final = (*http_routes.HTTP_ENDPOINTS, *oip_routes.OIP_ENDPOINTS)
_bentoml_log = logging.getLogger("bentoml.graft")  # a child of BentoML's logger, which shows INFO


class GraftService(bentoml.Service[Any]):
    """A BentoML service that handles Graft's own routes; BentoML handles all other paths."""

    @property
    def openapi_spec(self) -> Any:
        """Return BentoML's OpenAPI document, and log which model the bento serves by default.

        BentoML reads this property only while it builds a bento (its package of a service).
        """
        with suppress(GraftError):  # if there is no model, BentoML itself ends the build
            model = Bundle.read(resolve(Settings.model_fields["model"].default))
            log_summary(model.manifest, _bentoml_log, "this bento serves")
        return super().openapi_spec

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        settings = Settings.from_environment()
        bound_requests(settings.keep_alive_seconds)  # must run before uvicorn is set up
        silence_parser()
        return add_middleware(_add_routes(super().to_asgi(is_main)), settings)


def routes() -> list[Route]:
    """List Graft's own routes; BentoML handles all other paths."""
    return [
        *(endpoint.route() for endpoint in ALL_ENDPOINTS),
        *http_routes.HTTP_PUBLIC_ROUTES,
        *oip_routes.OIP_PUBLIC_ROUTES,
        Route("/docs.json", show_openapi),
    ]


async def show_openapi(request: Request) -> JSONResponse:
    """GET /docs.json: the OpenAPI document behind the Swagger page."""
    state: ServiceState = request.app.state.service
    document = build_document(state.model.manifest, state.settings, oip_openapi.build_section)
    return JSONResponse(document)


def add_middleware(app: Starlette, settings: Settings) -> ASGIApp:
    """Wrap an application in the middleware that every request passes through.

    Args:
        app: the application. Before the first request arrives, `app.state.service` must be set to
            the `ServiceState`.
        settings: only `cors_origins` is used.

    Raises:
        SettingError: both GRAFT_CORS_ORIGINS and BentoML's configuration enable CORS, or BentoML's
            configuration enables CORS but names no origins.
    """
    paths = [endpoint.path for endpoint in ALL_ENDPOINTS if endpoint.accepts_pictures]
    wrapped: ASGIApp = LoadSheddingMiddleware(ErrorFormatMiddleware(app), app.state, paths)
    if options := cors_options(settings):
        # CORS must wrap load shedding: a web page cannot read a refusal without CORS headers.
        wrapped = ErrorFormatMiddleware(CORSMiddleware(wrapped, **options))
    return RequestIdMiddleware(wrapped)


def _add_routes(bento: Starlette) -> Starlette:
    """Make an application with Graft's own routes; `bento` handles all other paths."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with bento.router.lifespan_context(bento):  # creates the Classifier
            state: ServiceState = bentoml.get_current_service().state
            state.metrics.initialize(endpoint.path for endpoint in ALL_ENDPOINTS)
            app.state.service = state
            yield

    app = Starlette(routes=routes(), lifespan=lifespan)
    # No redirects to the path with or without a final slash: a redirect repeats the Host header of
    # the request, so it could lead a client to any host.
    app.router.redirect_slashes = bento.router.redirect_slashes = False
    app.router.default = bento
    return app
