"""One operation of the OpenAPI document: what it is, what it answers, how it refuses."""

from __future__ import annotations

from typing import Any, Final

from service.errors import RequestError
from service.schemas import Refusal

Kinds = tuple[type[RequestError], ...]
Part = dict[str, Any]
SCHEMA: Final = "#/components/schemas/"
JSON: Final = "application/json"


def operation(text: str, answer: Part, kinds: Kinds) -> Part:
    return {"description": text, "responses": {"200": answer, **refusals(kinds)}}


def answer(media_type: str, schema: str = "", example: object = None) -> Part:
    content: Part = {"schema": {"$ref": SCHEMA + schema} if schema else {"type": "string"}}
    if example is not None:
        content["example"] = example
    return {"description": "Answered.", "content": {media_type: content}}


def refusals(kinds: Kinds) -> Part:
    """One response per status, with an example of each code."""
    responses: Part = {}
    for kind in kinds:
        response = responses.setdefault(
            str(kind.status),
            {"description": [], "content": {JSON: {"schema": {"$ref": f"{SCHEMA}Refusal"}}}},
        )
        response["description"].append(f"`{kind.code}`: {kind.__doc__}")
        example = {"value": Refusal.of(kind(f"{kind.__doc__}")).model_dump()}
        response["content"][JSON].setdefault("examples", {})[kind.code] = example
        for name in kind("").headers:
            response.setdefault("headers", {})[name] = {"schema": {"type": "string"}}
    for response in responses.values():
        response["description"] = "<br>".join(response["description"])
    bug = {"schema": {"$ref": f"{SCHEMA}Refusal"}}
    text = "`internal_server_error`: A bug; the server's log says more."
    responses["500"] = {"description": text, "content": {JSON: bug}}
    return dict(sorted(responses.items()))
