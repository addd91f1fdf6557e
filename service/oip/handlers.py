"""The handlers of the Open Inference Protocol v2, for the clients of KServe, Triton and others.

Pictures are decoded, queued and limited as in POST /predict. service/http/error_format.py converts
errors to the format of the protocol, `{"error": "text"}`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import (
    Draining,
    ModelNotFound,
    PayloadTooLarge,
    UndecodableImage,
    UnsupportedMediaType,
)
from service.http.disconnects import cancel_on_disconnect
from service.http.error_format import error_response
from service.http.predictions import gather_all, requested_top_k
from service.http.uploads.body import read_body
from service.http.uploads.body_timeout import body_timeout
from service.http.uploads.forms import check_size
from service.http.uploads.hints import with_hint
from service.oip.request import HEADER_LENGTH, PROTOCOL_EXTENSIONS, Picture, parse
from service.oip.response import metadata, serialise
from service.schemas import model_name
from service.served_model import ServedModel
from service.state import ServiceState

SERVER_VERSION: Final = "0.1.0"
"""Graft's version. It is a constant, because container images contain no package metadata from
which it could be read."""


async def show_live(request: Request) -> JSONResponse:
    """GET /v2/health/live: status 200 while the process is alive."""
    return JSONResponse({"live": True})


async def show_ready(request: Request) -> JSONResponse:
    """GET /v2/health/ready: status 200, or 503 while the server is draining."""
    state: ServiceState = request.app.state.service
    if state.is_draining:
        return error_response(Draining("this server is stopping; send requests to another server"))
    return JSONResponse({"ready": True})


async def show_server(state: ServiceState, request: Request) -> JSONResponse:
    """GET /v2: the server's name and version, and the protocol extensions that it supports."""
    return JSONResponse(
        {"name": "graft", "version": SERVER_VERSION, "extensions": PROTOCOL_EXTENSIONS}
    )


async def show_metadata(state: ServiceState, request: Request) -> JSONResponse:
    """GET /v2/models/NAME: the model's inputs and outputs."""
    manifest = _requested_model(state, request).manifest
    return JSONResponse(metadata(manifest, state.settings.max_pictures))


async def show_model_ready(state: ServiceState, request: Request) -> JSONResponse:
    """GET /v2/models/NAME/ready: status 200 if the model NAME is served, otherwise 404."""
    model = _requested_model(state, request)
    return JSONResponse({**model_name(model.manifest), "ready": True})


async def infer(state: ServiceState, request: Request) -> Response:
    """POST /v2/models/NAME/infer: classify pictures.

    If one picture cannot be classified, the whole request fails.
    """
    _requested_model(state, request)  # refuse an unknown model before the body is read
    settings = state.settings
    with state.upload_quota.upload() as upload:
        async with body_timeout(upload, settings, lambda: state.is_draining):
            body = await read_body(request, settings.max_request_bytes, upload)
        model = _requested_model(state, request)  # a reload may have replaced it in the meantime
        top_k = requested_top_k(request, model)
        manifest, length = model.manifest, request.headers.get(HEADER_LENGTH)
        parsed = parse(body, length, manifest.input.size, settings.max_pictures)
        with model.admit(len(parsed.pictures)):
            async with cancel_on_disconnect(request):
                rows = await gather_all(
                    _predict(state, model, index, picture)
                    for index, picture in enumerate(parsed.pictures)
                )
    content, headers = serialise(parsed, manifest, np.stack(rows), top_k)
    return Response(content, headers=headers)


async def _predict(
    state: ServiceState, model: ServedModel, index: int, picture: Picture
) -> NDArray[np.float32]:
    """Return the probabilities of one picture, of shape (classes,).

    Raises:
        UndecodableImage: the picture is damaged, too large or in a format that is not accepted. The
            message contains the index of the picture in the request, counted from 0.
    """
    try:
        if isinstance(picture, bytes):
            picture = check_size(picture, state.settings)
        return (await model.classification(picture)).probabilities
    except (UndecodableImage, UnsupportedMediaType, PayloadTooLarge) as error:
        reason = with_hint(str(error), picture) if isinstance(picture, bytes) else error
        raise UndecodableImage(f"`images[{index}]`: {reason}") from error


def _requested_model(state: ServiceState, request: Request) -> ServedModel:
    """Return the served model if the request's path names it; otherwise raise ModelNotFound."""
    served, path = state.model.manifest, request.path_params
    name, version = path["name"], path.get("version")
    if name != served.name or version not in (None, served.version):
        requested = repr(name[:80]) + (f", version {version[:80]!r}," if version else "")
        raise ModelNotFound(
            f"model {requested} is not served here; use {served.name!r}, version {served.version!r}"
        )
    return state.model
