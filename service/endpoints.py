"""What a POST does: pictures out of the request, answers out of the model."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.arrival import arriving
from service.errors import BadParameter, RequestError, UndecodableImage, UnsupportedMediaType
from service.hints import explained
from service.presence import while_present
from service.schemas import Refusal
from service.served import ServedModel
from service.uploads import checked, read_picture, read_pictures

if TYPE_CHECKING:
    from service.app import Classifier

Result = TypeVar("Result")


async def predict(service: Classifier, request: Request) -> JSONResponse:
    """Classify one picture: multipart field `image`, JSON, or the picture as the body."""
    with service.uploads.request() as upload:
        async with arriving(upload, service.settings, lambda: service.is_draining):
            picture = await read_picture(request, service.settings, upload)
        model = service.model  # now, for another may have been taken while the body came
        top_k = asked_top_k(request, model)
        with model.admit(1):
            async with while_present(request):
                answer = await _classify(model, picture, top_k)
    return JSONResponse({**answer, "model": model.name.model_dump()})


async def predict_batch(service: Classifier, request: Request) -> JSONResponse:
    """Classify the pictures in the multipart fields `images`; a bad one fails alone."""
    with service.uploads.request() as upload:
        async with arriving(upload, service.settings, lambda: service.is_draining):
            pictures = await read_pictures(request, service.settings, upload)
        model = service.model
        top_k = asked_top_k(request, model)
        classify = functools.partial(_classify_or_refuse, service, model, top_k)
        with model.admit(len(pictures)):
            async with while_present(request):
                results = await all_of(map(classify, pictures))
    return JSONResponse({"results": results, "model": model.name.model_dump()})


def asked_top_k(request: Request, model: ServedModel) -> int | None:
    """How many classes the query asks for (`?top_k=3`); None where it does not say.

    Raises:
        BadParameter: it is no number from 1 to that of the classes.
    """
    if not request.scope.get("query_string"):
        return None
    given = request.query_params.getlist("top_k")
    if not given:
        return None
    most = len(model.bundle.manifest.classes)
    (value,) = given if len(given) == 1 else ("",)
    if not (value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= most):
        raise BadParameter(f"top_k must be one whole number from 1 to {most}, as in ?top_k=1")
    return int(value)


async def all_of(asked: Iterable[Awaitable[Result]]) -> list[Result]:
    """All results, in order; where some fail, the first failure once all have come to an end.

    gather alone would raise at once, and pictures still being worked on would count no more.
    """
    ended = await asyncio.gather(*asked, return_exceptions=True)
    results = [one for one in ended if not isinstance(one, BaseException)]
    failures = [one for one in ended if isinstance(one, BaseException)]
    del ended
    if failures:
        raise failures.pop(0)  # no name here holds it: a cycle, as in Picture.take_answer
    return results


async def _classify(model: ServedModel, data: bytes, top_k: int | None) -> dict[str, object]:
    """The answer; what is no picture is refused with a guess at what it is."""
    try:
        return await model.classify(data, top_k)
    except (UndecodableImage, UnsupportedMediaType) as error:
        error.args = (explained(str(error), data),)
        raise


async def _classify_or_refuse(
    service: Classifier, model: ServedModel, top_k: int | None, data: bytes
) -> dict[str, object]:
    try:
        return await _classify(model, checked(data, service.settings), top_k)
    except RequestError as error:
        service.metrics.refusals.labels(error.code).inc()
        return Refusal.of(error).model_dump()
