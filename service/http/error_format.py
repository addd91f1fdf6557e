"""Send all errors in one format, {"error": {"code": ..., "message": ...}}.

Errors of BentoML and Starlette are converted to this format. Under /v2, the format is
{"error": message}, as the Open Inference Protocol defines it.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import RequestError
from service.schemas import ErrorResponse


def error_response(error: RequestError, path: str = "") -> JSONResponse:
    """Make the response that reports `error`, in the error format for requests to `path`."""
    content = _in_format_of(path, ErrorResponse.from_error(error).model_dump())
    return JSONResponse(content, error.status, headers=error.headers)


class ErrorFormatMiddleware:
    """ASGI middleware that converts the error responses of BentoML and Starlette to Graft's format.

    BentoML and Starlette send errors as plain text, or as JSON in another format. Errors that
    already have Graft's format keep their message and, outside /v2, their code. Responses with
    status 429 or 503 get a Retry-After header if they have none. Responses with a status below 400
    are sent unchanged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def send_formatted(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and message["status"] >= 400:
                start = message
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    await _formatted(scope["path"], start, body)(scope, receive, send)

        await self._app(scope, receive, send_formatted)


def _formatted(path: str, start: Message, body: bytes) -> JSONResponse:
    """Convert an error response, given as ASGI start message and body, to Graft's format."""
    status: int = start["status"]
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in start["headers"]
        if name.lower() not in (b"content-length", b"content-type")
    }
    if status in (429, 503):
        headers.setdefault("retry-after", "1")
    content = _parsed(body)
    if not (isinstance(content, dict) and isinstance(content.get("error"), dict)):
        phrase = HTTPStatus(status).phrase
        code = re.sub(r"\W+", "_", phrase.lower())
        message = _message(content) or body.decode("utf-8", "replace").strip() or phrase
        if status == HTTPStatus.NOT_FOUND and message == HTTPStatus.NOT_FOUND.phrase:
            message += _other_paths(path)
        if status == HTTPStatus.METHOD_NOT_ALLOWED and "allow" in headers:
            message += f": use {headers['allow']}; / and /docs.json describe this service"
        content = {"error": {"code": code, "message": message}}
    return JSONResponse(_in_format_of(path, content), status, headers)


def _other_paths(path: str) -> str:
    """Return text to append to the message "Not Found": which paths to use instead."""
    if path.startswith("/v1/"):
        return (
            ': POST {"image": "<base64>"} to /predict, or use /v2/models/NAME/infer; the '
            "`instances` protocol of TensorFlow Serving and KServe v1 is not supported"
        )
    return ": there is no such path; / and /docs.json list the paths of this service"


def _in_format_of(path: str, content: dict[str, Any]) -> dict[str, Any]:
    if path == "/v2" or path.startswith("/v2/"):
        return {"error": content["error"]["message"]}
    return content


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _message(content: object) -> str:
    """Return the message of an error in BentoML's JSON; "" if there is none.

    BentoML's JSON is {"error": message}, or a list whose first element is such an object.
    """
    if isinstance(content, list) and content:
        content = content[0]
    return str(content.get("error", "")) if isinstance(content, dict) else ""
