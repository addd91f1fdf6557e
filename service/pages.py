"""What is asked by GET besides the probes: /model, /metrics, and the document behind Swagger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.bundle import Manifest
from service.errors import RequestError
from service.metrics import exposition

if TYPE_CHECKING:
    from service.app import Classifier

_SCHEMA = "#/components/schemas/"


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
    paths["/metrics"] = _page("Figures of all workers together, for Prometheus.", "text/plain")
    for unused in ("TaskStatusResponse", "InvalidArgument", "NotFound", "InternalServerError"):
        document["components"]["schemas"].pop(unused, None)
    return document


def _refusals() -> dict[int, Any]:
    """One response per status, from the tree in service/errors.py."""
    meanings = {500: ["`internal_server_error`: A bug; the server's log says more."]}
    for kind in RequestError.__subclasses__():
        meanings.setdefault(kind.status, []).append(f"`{kind.code}`: {kind.__doc__}")
    content = {"application/json": {"schema": {"$ref": f"{_SCHEMA}Refusal"}}}
    return {
        status: {"description": "<br>".join(lines), "content": content}
        for status, lines in sorted(meanings.items())
    }


def _page(description: str, media_type: str) -> dict[str, Any]:
    schema = {"type": "object" if media_type == "application/json" else "string"}
    answer = {"description": description, "content": {media_type: {"schema": schema}}}
    tags = ["Infrastructure"]
    return {"get": {"tags": tags, "description": description, "responses": {200: answer}}}
