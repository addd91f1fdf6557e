"""What is asked by GET besides the probes: /ui, /model, /metrics, the document behind Swagger."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.bundle import Manifest
from service.errors import RequestError
from service.metrics import exposition
from service.schemas import InferenceRequest

if TYPE_CHECKING:
    from service.app import Classifier

_SCHEMA = "#/components/schemas/"


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
    """GET /model: the public part of the manifest, and how it is run here."""
    model = service.model
    return JSONResponse({**model.bundle.manifest.public(), "tuning": model.tuning.model_dump()})


def show_metrics(request: Request) -> Response:
    """GET /metrics: the figures of all workers together, for Prometheus."""
    return Response(exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def show_docs(request: Request) -> JSONResponse:
    """GET /docs.json: what the Swagger page shows; asked before BentoML's own."""
    manifest = request.app.state.service.model.bundle.manifest
    return JSONResponse(describe(request.app.state.openapi(), manifest))


def describe(document: dict[str, Any], manifest: Manifest) -> dict[str, Any]:
    """BentoML's OpenAPI document with our errors, raw bodies and pages in place of its own.

    Args:
        document: as `Service.openapi_spec` makes it; changed in place.
        manifest: of the model that is served.
    """
    document["info"] = {
        "title": "graft",
        "version": manifest.version,
        "description": f"Pictures in, answers out, by model `{manifest.name}`: "
        + ", ".join(manifest.classes),
    }
    paths = document["paths"]
    for path in ("/predict", "/predict_batch"):
        endpoint = paths[path]["post"]
        endpoint["responses"] = {200: endpoint["responses"][200], **_refusals()}
    picture = {"schema": {"type": "string", "format": "binary"}}
    paths["/predict"]["post"]["requestBody"]["content"]["image/*"] = picture
    paths["/model"] = _page("The public part of the model's manifest.", "application/json")
    paths["/ui"] = _page("A page for people: choose pictures, see answers.", "text/html")
    paths["/metrics"] = _page("Figures of all workers together, for Prometheus.", "text/plain")
    schemas = document["components"]["schemas"]
    paths |= _protocol(schemas)
    for unused in ("TaskStatusResponse", "InvalidArgument", "NotFound", "InternalServerError"):
        schemas.pop(unused, None)
    return document


def _protocol(schemas: dict[str, Any]) -> dict[str, Any]:
    """The paths of the Open Inference Protocol; adds what they refer to to `schemas`."""
    request = InferenceRequest.model_json_schema(ref_template=_SCHEMA + "{model}")
    schemas |= {**request.pop("$defs"), "InferenceRequest": request}
    schemas["InferenceError"] = {"type": "object", "properties": {"error": {"type": "string"}}}
    json_type, refusals = "application/json", _refusals("InferenceError")
    pages = {
        "/v2": "What this server is, by the Open Inference Protocol v2.",
        "/v2/health/live": "200 while the process lives.",
        "/v2/health/ready": "200 while it takes requests, 503 before it stops.",
    }
    paths = {path: _page(text, json_type) for path, text in pages.items()}
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    for version in ("", "/versions/{version}"):
        path = f"/v2/models/{{name}}{version}"
        given = [name, {**name, "name": "version"}] if version else [name]
        paths[path] = _page("Inputs and outputs of the model.", json_type)
        paths[f"{path}/ready"] = _page("200 where this model is the one that answers.", json_type)
        answer = {"description": "Answers.", "content": {json_type: {"schema": {"type": "object"}}}}
        paths[f"{path}/infer"] = {
            "post": {
                "tags": ["Open Inference Protocol"],
                "description": "Classify pictures; one bad picture fails them all.",
                "requestBody": {
                    "content": {json_type: {"schema": {"$ref": f"{_SCHEMA}InferenceRequest"}}}
                },
                "responses": {200: answer},
            }
        }
        for each in (path, f"{path}/ready", f"{path}/infer"):
            for operation in paths[each].values():
                operation["parameters"] = given
                operation["responses"] |= refusals
    return paths


def _refusals(schema: str = "Refusal") -> dict[int, Any]:
    """One response per status, from the tree in service/errors.py."""
    meanings = {500: ["`internal_server_error`: A bug; the server's log says more."]}
    for kind in RequestError.__subclasses__():
        meanings.setdefault(kind.status, []).append(f"`{kind.code}`: {kind.__doc__}")
    content = {"application/json": {"schema": {"$ref": f"{_SCHEMA}{schema}"}}}
    return {
        status: {"description": "<br>".join(lines), "content": content}
        for status, lines in sorted(meanings.items())
    }


def _page(description: str, media_type: str) -> dict[str, Any]:
    schema = {"type": "object" if media_type == "application/json" else "string"}
    answer = {"description": description, "content": {media_type: {"schema": schema}}}
    tags = ["Infrastructure"]
    return {"get": {"tags": tags, "description": description, "responses": {200: answer}}}
