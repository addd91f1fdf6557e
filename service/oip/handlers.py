"""The Open Inference Protocol v2 over HTTP, for the clients of KServe, Triton and others.

Pictures go the way of /predict: one decoder, one queue, the same limits and deadline. An error is
`{"error": "text"}` here, as these clients expect it (service/http/error_format.py sees to that).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
from service.http.disconnects import while_present
from service.http.error_format import refusal
from service.http.predictions import all_of, asked_top_k
from service.http.uploads.body import read_body
from service.http.uploads.body_timeout import arriving
from service.http.uploads.forms import checked
from service.http.uploads.hints import explained
from service.oip.codec import (
    EXTENSIONS,
    HEADER_LENGTH,
    Picture,
    metadata,
    parse,
    serialise,
)
from service.served_model import ServedModel

if TYPE_CHECKING:
    from service.app import Classifier

VERSION: Final = "0.1.0"
"""Of Graft: only service/ is in an image, not the package with its version."""


async def show_live(request: Request) -> JSONResponse:
    """GET /v2/health/live: 200 while the process lives; like all probes without a key."""
    return JSONResponse({"live": True})


async def show_ready(request: Request) -> JSONResponse:
    """GET /v2/health/ready: 503 while draining."""
    if request.app.state.service.is_draining:
        return refusal(Draining("this server is stopping"))
    return JSONResponse({"ready": True})


async def show_server(service: Classifier, request: Request) -> JSONResponse:
    """GET /v2: what this server is, and which extensions of the protocol it knows."""
    return JSONResponse({"name": "graft", "version": VERSION, "extensions": EXTENSIONS})


async def show_metadata(service: Classifier, request: Request) -> JSONResponse:
    """GET /v2/models/NAME: inputs and outputs of the model."""
    manifest = _named_model(service, request).bundle.manifest
    return JSONResponse(metadata(manifest, service.settings.max_pictures))


async def show_model_ready(service: Classifier, request: Request) -> JSONResponse:
    """GET /v2/models/NAME/ready: 200 where the model is the one that answers."""
    return JSONResponse({**_named_model(service, request).name.model_dump(), "ready": True})


async def infer(service: Classifier, request: Request) -> Response:
    """POST /v2/models/NAME/infer: classify pictures; one bad picture fails them all."""
    _named_model(service, request)  # before the body costs anything
    settings = service.settings
    with service.uploads.request() as upload:
        async with arriving(upload, settings, lambda: service.is_draining):
            body = await read_body(request, settings.max_request_bytes, upload)
        model = _named_model(service, request)  # now, for another may have been taken
        top_k = asked_top_k(request, model)
        manifest, length = model.bundle.manifest, request.headers.get(HEADER_LENGTH)
        question = parse(body, length, manifest.input.size, settings.max_pictures)
        with model.admit(len(question.pictures)):
            async with while_present(request):
                rows = await all_of(
                    _answer(service, model, *one) for one in enumerate(question.pictures)
                )
    answered, headers = serialise(question, manifest, np.stack(rows), top_k)
    return Response(answered, headers=headers)


async def _answer(
    service: Classifier, model: ServedModel, index: int, picture: Picture
) -> NDArray[np.float32]:
    try:
        if isinstance(picture, bytes):
            picture = checked(picture, service.settings)
        return await model.probabilities(picture)
    except (UndecodableImage, UnsupportedMediaType, PayloadTooLarge) as error:
        reason = explained(str(error), picture) if isinstance(picture, bytes) else error
        raise UndecodableImage(f"picture {index} of `images`: {reason}") from error


def _named_model(service: Classifier, request: Request) -> ServedModel:
    """The model that is served, where it is the one that the path names."""
    served, asked = service.model.name, request.path_params
    version = asked.get("version")
    if asked["name"] != served.name or version not in (None, served.version):
        named = repr(asked["name"][:80]) + (f", version {version[:80]!r}," if version else "")
        raise ModelNotFound(
            f"model {named} is not here; {served.name!r}, version {served.version!r}, is served"
        )
    return service.model
