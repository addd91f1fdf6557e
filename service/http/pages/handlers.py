"""Handlers of GET /ui, /model, /report, /samples and /metrics."""

from __future__ import annotations

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.bundle import summary
from service.errors import Disabled, NotFound
from service.http.pages.ui_page import build_page, build_policy
from service.schemas import RequestLimits, model_name
from service.settings import Settings
from service.state import ServiceState

_HEADERS: Final = {
    "Cache-Control": "no-cache",  # page and server must have the same version
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_REPORT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
)
"""The report has a style sheet and pictures inside, and no scripts. Its texts are those of the
owner's data, such as file names."""


def show_ui(request: Request) -> Response:
    """GET /ui: a web page that classifies pictures, and asks for an API key if one is needed."""
    state: ServiceState = request.app.state.service
    policy = {"Content-Security-Policy": build_policy(state.model.report)}
    return Response(build_page(), headers={**_HEADERS, **policy}, media_type="text/html")


async def show_model(state: ServiceState, request: Request) -> JSONResponse:
    """GET /model: the public part of the manifest, how the model runs here, and what is shown."""
    model, settings = state.model, state.settings
    limits = RequestLimits(
        pictures=settings.max_pictures,
        picture_bytes=settings.max_image_bytes,
        request_bytes=settings.max_request_bytes,
    )
    shadow = {"shadow": model_name(state.shadow.challenger.manifest)} if state.shadow else {}
    return JSONResponse(
        {
            **summary.public_manifest(model.manifest),
            "tuning": model.tuning.model_dump(),
            "runtime": model.runtime.model_dump(),
            "limits": limits.model_dump(),
            "report": model.report is not None,
            "samples": len(model.samples),
            **shadow,
        }
    )


async def show_report(state: ServiceState, request: Request) -> Response:
    """GET /report: the report in the bundle, an HTML page with pictures of the training data.

    Raises:
        Disabled: GRAFT_SHOW_PICTURES is false.
        NotFound: the bundle has no report.
    """
    _require_pictures(state.settings)
    report = state.model.report
    if report is None:
        raise NotFound("this model has no report; train it again with this version of Graft")
    headers = {**_HEADERS, "Content-Security-Policy": _REPORT_POLICY}
    return Response(report, headers=headers, media_type="text/html")


async def show_sample(state: ServiceState, request: Request) -> Response:
    """GET /samples/{number}: a sample picture of the bundle, as a small JPEG without metadata.

    Raises:
        Disabled: GRAFT_SHOW_PICTURES is false.
        NotFound: there is no sample picture with this number.
    """
    _require_pictures(state.settings)
    samples, number = state.model.samples, request.path_params["number"]
    if number not in map(str, range(len(samples))):
        raise NotFound(
            f"there is no such sample picture; this model has {len(samples)}, numbered from 0"
        )
    return Response(samples[int(number)], headers=_HEADERS, media_type="image/jpeg")


def show_metrics(request: Request) -> Response:
    """GET /metrics: the metrics of all workers together, for Prometheus.

    This is not a coroutine function, because it reads files: Starlette runs plain functions in a
    thread, where they do not block the event loop.
    """
    state: ServiceState = request.app.state.service
    return Response(state.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _require_pictures(settings: Settings) -> None:
    if not settings.show_pictures:
        raise Disabled("this service does not show its pictures: GRAFT_SHOW_PICTURES is false")
