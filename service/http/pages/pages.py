"""What is asked by GET besides the probes: /ui, /model, /metrics, the document behind Swagger."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.bundle import summary
from service.state import ServiceState


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


async def show_model(state: ServiceState, request: Request) -> JSONResponse:
    """GET /model: the public part of the manifest, its training data, and how it is run."""
    model = state.model
    run = {"tuning": model.tuning.model_dump(), "runtime": model.runtime.model_dump()}
    return JSONResponse({**summary.public(model.manifest), **run})


def show_metrics(request: Request) -> Response:
    """GET /metrics: the metrics of all workers together, for Prometheus.

    Starlette runs it in a thread, as it is no coroutine: it reads files.
    """
    state: ServiceState = request.app.state.service
    return Response(state.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
