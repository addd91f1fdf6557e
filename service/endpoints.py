"""What a POST does: pictures out of the request, answers out of the model."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.errors import RequestError
from service.presence import while_present
from service.schemas import Refusal
from service.served import ServedModel, within
from service.uploads import checked, read_picture, read_pictures

if TYPE_CHECKING:
    from service.app import Classifier

LATE_BODY = "the body did not arrive"
Result = TypeVar("Result")


async def predict(service: Classifier, request: Request) -> JSONResponse:
    """Classify one picture: multipart field `image`, or the picture itself as the body."""
    with service.uploads.request() as take:
        async with within(service.settings.upload_timeout_seconds, LATE_BODY):
            picture = await read_picture(request, service.settings, take)
        model = service.model  # now, for another may have been taken while the body came
        with model.admit(1):
            async with while_present(request):
                answer = await model.classify(picture)
    return JSONResponse({**answer, "model": model.name.model_dump()})


async def predict_batch(service: Classifier, request: Request) -> JSONResponse:
    """Classify the pictures in the multipart fields `images`; a bad one fails alone."""
    with service.uploads.request() as take:
        async with within(service.settings.upload_timeout_seconds, LATE_BODY):
            pictures = await read_pictures(request, service.settings, take)
        model = service.model
        classify = functools.partial(_classify_or_refuse, service, model)
        with model.admit(len(pictures)):
            async with while_present(request):
                results = await all_of(map(classify, pictures))
    return JSONResponse({"results": results, "model": model.name.model_dump()})


async def all_of(asked: Iterable[Awaitable[Result]]) -> list[Result]:
    """All results, in order; where some fail, the first failure once all have come to an end.

    gather alone would raise at once, and pictures still being worked on would count no more.
    """
    ended = await asyncio.gather(*asked, return_exceptions=True)
    results = [one for one in ended if not isinstance(one, BaseException)]
    failures = [one for one in ended if isinstance(one, BaseException)]
    del ended
    if failures:
        raise failures.pop(0)  # with a name here it would know itself: see Picture.take_answer
    return results


async def _classify_or_refuse(
    service: Classifier, model: ServedModel, data: bytes
) -> dict[str, object]:
    try:
        return await model.classify(checked(data, service.settings))
    except RequestError as error:
        service.metrics.refusals.labels(error.code).inc()
        return Refusal.of(error).model_dump()
