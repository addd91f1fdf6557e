"""Build parts of an OpenAPI document: operations, responses and errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from service.bundle.manifest import InputSpec, Manifest
from service.errors import (
    BadParameter,
    DeadlineExceeded,
    Draining,
    MalformedRequest,
    MissingField,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    RequestTimeout,
    Unauthorized,
    UndecodableImage,
    UnsupportedMediaType,
)
from service.schemas import ErrorResponse

ErrorClasses = tuple[type[RequestError], ...]
Json = dict[str, Any]
SCHEMA: Final = "#/components/schemas/"
JSON_TYPE: Final = "application/json"
ENDPOINT_ERRORS: Final[ErrorClasses] = (Unauthorized, Draining)
"""Errors that every operation with an API key check can return."""
UPLOAD_ERRORS: Final[ErrorClasses] = (
    *(UndecodableImage, MalformedRequest, PayloadTooLarge, UnsupportedMediaType, MissingField),
    *(BadParameter, RequestTimeout, Overloaded, DeadlineExceeded),
)
"""Errors that every operation for pictures can return, in addition to `ENDPOINT_ERRORS`."""
HIDDEN_MODEL: Final = Manifest(
    name="name",
    id="0123456789ab",
    created="2026-01-01T00:00:00Z",
    plugin="family:variant",
    classes=("first class", "second class"),
    input=InputSpec(size=224),
    outputs=(),
    opset=17,
    decoder="decoder",
    metrics={},
    parity={},
    provenance={},
)
"""The document describes this placeholder instead of the served model if the service requires API
keys, because anybody can read the document."""
_MARKDOWN: Final = re.compile(r"([!-/:-@\[-`{-~])")
"""Matches ASCII punctuation: the characters that CommonMark (section 2.4) allows to be escaped with
a backslash."""


@dataclass(frozen=True)
class Section:
    """A group of operations that the Swagger page shows under one heading.

    Attributes:
        tag: the heading.
        description: a sentence below the heading.
        paths: path -> method -> operation.
        schemas: name -> JSON schema. Operations may refer to the schemas of all sections.
    """

    tag: str
    description: str
    paths: dict[str, Json]
    schemas: Json


def describe_operation(
    operation_id: str,
    summary: str,
    answer: Json,
    errors: ErrorClasses,
    description: str = "",
    error_schema: str = "ErrorResponse",
) -> Json:
    """Build the OpenAPI object that describes an operation.

    Args:
        operation_id: unique id. Generators of client code derive function names from it.
        summary: a few words, shown in the list of operations.
        answer: description of the response with status 200, from `success_response`.
        errors: the errors that the operation can return.
        description: details beyond the summary, in Markdown.
        error_schema: name of the schema of all error responses.
    """
    texts = {"summary": summary} | ({"description": description} if description else {})
    responses = {"200": answer, **error_responses(errors, error_schema)}
    return {"operationId": operation_id, **texts, "responses": responses}


def success_response(media_type: str, schema: str = "", example: object = None) -> Json:
    """Describe a response with status 200: JSON of a named schema, or text if `schema` is ""."""
    content: Json = {"schema": {"$ref": SCHEMA + schema} if schema else {"type": "string"}}
    if example is not None:
        content["example"] = example
    return {"description": "Success.", "content": {media_type: content}}


def error_responses(errors: ErrorClasses, schema: str = "ErrorResponse") -> Json:
    """Describe the error responses: one per status, with all error codes that have this status.

    Status 500 is always described, because a bug can make any request fail.
    """
    responses: Json = {}
    for error_class in errors:
        response = responses.setdefault(
            str(error_class.status), {"description": [], "content": _content(schema)}
        )
        response["description"].append(f"`{error_class.code}`: {error_class.__doc__}")
        if schema == "ErrorResponse":
            example = ErrorResponse.from_error(error_class(f"{error_class.__doc__}")).model_dump()
            examples = response["content"][JSON_TYPE].setdefault("examples", {})
            examples[error_class.code] = {"value": example}
        for name in error_class("").headers:
            response.setdefault("headers", {})[name] = {"schema": {"type": "string"}}
    for response in responses.values():
        response["description"] = "<br>".join(response["description"])
    text = (
        "`internal_server_error`: An unexpected error occurred; the server's log has the details."
    )
    responses["500"] = {"description": text, "content": _content(schema)}
    return dict(sorted(responses.items()))


def escape_markdown(text: str) -> str:
    """Escape Markdown and HTML, so that a description in Markdown shows `text` unchanged.

    Each run of whitespace becomes one space.
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _content(schema: str) -> Json:
    return {JSON_TYPE: {"schema": {"$ref": SCHEMA + schema}}}
