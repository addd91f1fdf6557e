"""What is asked by GET besides the probes: /model, /metrics, and the document behind Swagger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.metrics import exposition
from service.openapi import describe

if TYPE_CHECKING:
    from service.app import Classifier


async def show_model(service: Classifier, request: Request) -> JSONResponse:
    """GET /model: the public part of the manifest, and how it is run here."""
    model = service.model
    return JSONResponse({**model.bundle.manifest.public(), "tuning": model.tuning.model_dump()})


def show_metrics(request: Request) -> Response:
    """GET /metrics: the figures of all workers together, for Prometheus."""
    return Response(exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def show_docs(request: Request) -> JSONResponse:
    """GET /docs.json: what the Swagger page shows; asked before BentoML's own."""
    service: Classifier = request.app.state.service
    return JSONResponse(describe(service.model.bundle.manifest, service.settings))
