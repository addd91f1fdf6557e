"""The handlers of POST /predict and POST /predict_batch."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.errors import BadParameter, RequestError, UndecodableImage, UnsupportedMediaType
from service.http.disconnects import cancel_on_disconnect
from service.http.uploads.body_timeout import body_timeout
from service.http.uploads.forms import check_size, read_picture, read_pictures
from service.http.uploads.hints import with_hint
from service.schemas import ErrorResponse, model_name
from service.served_model import ServedModel
from service.state import ServiceState

Result = TypeVar("Result")


async def predict(state: ServiceState, request: Request) -> JSONResponse:
    """POST /predict: classify one picture.

    The client sends the picture in the multipart field `image`, in JSON, or as the raw body.
    """
    with state.upload_quota.upload() as upload:
        async with body_timeout(upload, state.settings, lambda: state.is_draining):
            picture = await read_picture(request, state.settings, upload)
        model = state.model  # not read earlier: a reload may replace it while the body arrives
        top_k = requested_top_k(request, model)
        with model.admit(1):
            async with cancel_on_disconnect(request):
                answer = await _classify(model, picture, top_k)
    return JSONResponse({**answer, "model": model_name(model.manifest)})


async def predict_batch(state: ServiceState, request: Request) -> JSONResponse:
    """POST /predict_batch: classify the pictures in the multipart fields `images`.

    If a picture cannot be classified, its result is an error. The other pictures are still
    classified.
    """
    with state.upload_quota.upload() as upload:
        async with body_timeout(upload, state.settings, lambda: state.is_draining):
            pictures = await read_pictures(request, state.settings, upload)
        model = state.model
        top_k = requested_top_k(request, model)
        classify = functools.partial(_classify_or_refuse, state, model, top_k)
        with model.admit(len(pictures)):
            async with cancel_on_disconnect(request):
                results = await gather_all(map(classify, pictures))
    return JSONResponse({"results": results, "model": model_name(model.manifest)})


def requested_top_k(request: Request, model: ServedModel) -> int | None:
    """Return the query parameter `top_k`, the number of classes in a result; None if absent.

    Raises:
        BadParameter: the value is not a whole number from 1 to the model's number of classes, or
            the parameter is given several times.
    """
    if not request.scope.get("query_string"):
        return None
    values = request.query_params.getlist("top_k")
    if not values:
        return None
    maximum = len(model.manifest.classes)
    (value,) = values if len(values) == 1 else ("",)
    if not (value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= maximum):
        raise BadParameter(
            f"top_k must be one whole number from 1 to {maximum}, for example ?top_k=1"
        )
    return int(value)


async def gather_all(awaitables: Iterable[Awaitable[Result]]) -> list[Result]:
    """Wait until all awaitables have finished, then return their results in order.

    If several fail, the exception of the one that comes first in `awaitables` is raised.
    `asyncio.gather` alone would raise the exception at once, and the caller would then leave the
    block of `ServedModel.admit`. The queue would no longer count the other pictures of the request,
    although they are still being classified.
    """
    outcomes = await asyncio.gather(*awaitables, return_exceptions=True)
    results = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    del outcomes
    if failures:
        # The exception refers to this frame. If a local variable referred to the exception, that
        # would be a reference cycle.
        raise failures.pop(0)
    return results


async def _classify(
    model: ServedModel, data: bytes, top_k: int | None, *, is_file: bool = False
) -> dict[str, object]:
    """Return the classes and probabilities of one picture, as the JSON of a `Classified`.

    If the bytes are not a valid picture, the error message says what they seem to be, if known.
    `is_file`: whether the bytes surely are a whole file.
    """
    try:
        return await model.classify(data, top_k)
    except (UndecodableImage, UnsupportedMediaType) as error:
        error.args = (with_hint(str(error), data, is_file=is_file),)
        raise


async def _classify_or_refuse(
    state: ServiceState, model: ServedModel, top_k: int | None, data: bytes
) -> dict[str, object]:
    """Return the result of one picture of a batch: its classes, or an error if it is refused."""
    try:
        return await _classify(model, check_size(data, state.settings), top_k, is_file=True)
    except RequestError as error:
        state.metrics.refusals.labels(error.code).inc()
        return ErrorResponse.from_error(error).model_dump()
