"""Handlers of GET /ui, GET /model and GET /metrics."""

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
from service.schemas import model_name
from service.state import ServiceState


def show_ui(request: Request) -> Response:
    """GET /ui: a web page that classifies pictures, and asks for an API key if one is needed."""
    page, policy = _page_and_policy()
    headers = {
        "Cache-Control": "no-cache",  # page and server must have the same version
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(page, headers=headers, media_type="text/html")


async def show_model(state: ServiceState, request: Request) -> JSONResponse:
    """GET /model: the public part of the manifest, and how the model runs on this machine."""
    model = state.model
    run = {"tuning": model.tuning.model_dump(), "runtime": model.runtime.model_dump()}
    challenger = state.shadow and model_name(state.shadow.challenger.manifest)
    shadow = {"shadow": challenger} if challenger else {}
    return JSONResponse({**summary.public_manifest(model.manifest), **run, **shadow})


def show_metrics(request: Request) -> Response:
    """GET /metrics: the metrics of all workers together, for Prometheus.

    This is not a coroutine function, because it reads files: Starlette runs plain functions in a
    thread, where they do not block the event loop.
    """
    state: ServiceState = request.app.state.service
    return Response(state.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@functools.cache
def _page_and_policy() -> tuple[str, str]:
    """Return the web page, and a content security policy that allows only what the page needs."""
    page = Path(__file__).with_name("ui.html").read_text(encoding="utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": _hash_source("script", page),
        "style-src": _hash_source("style", page),
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # The browser blocks innerHTML and similar functions, so that text never becomes markup.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return page, "; ".join(f"{name} {value}" for name, value in policy.items())


def _hash_source(tag: str, page: str) -> str:
    """Return the source expression with which a security policy allows the page's `tag` element.

    The page has only one such element. The expression contains the SHA-256 of its text.
    """
    (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
