"""What is asked by GET besides the probes: /ui, /model, /metrics, the document behind Swagger."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.bundle import summary
from service.http.pages.openapi import describe

if TYPE_CHECKING:
    from service.app import Classifier


def show_ui(request: Request) -> Response:
    """GET /ui: a page for people; asks for no key itself, and sends the one that it is given."""
    page, policy = _ui()
    headers = {
        "Cache-Control": "no-cache",  # a page of one version never asks a server of another
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(page, headers=headers, media_type="text/html")


@functools.cache
def _ui() -> tuple[str, str]:
    """The page, and the policy that lets it do what it does and nothing else."""
    page = Path(__file__).with_name("ui.html").read_text(encoding="utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": _hash_of("script", page),
        "style-src": _hash_of("style", page),
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # No text becomes markup: the browser refuses innerHTML and its like.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return page, "; ".join(f"{name} {value}" for name, value in policy.items())


def _hash_of(tag: str, page: str) -> str:
    (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


async def show_model(service: Classifier, request: Request) -> JSONResponse:
    """GET /model: what it was trained on, the public part of the manifest, how it is run here."""
    model = service.model
    run = {"tuning": model.tuning.model_dump(), "runtime": model.runtime.model_dump()}
    return JSONResponse({**summary.public(model.bundle.manifest), **run})


def show_metrics(request: Request) -> Response:
    """GET /metrics: the figures of all workers together, for Prometheus."""
    service: Classifier = request.app.state.service
    return Response(service.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def show_docs(request: Request) -> JSONResponse:
    """GET /docs.json: what the Swagger page shows; asked before BentoML's own."""
    service: Classifier = request.app.state.service
    return JSONResponse(describe(service.model.bundle.manifest, service.settings))
