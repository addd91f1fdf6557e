"""The OpenAPI document behind the Swagger page, made from the classes and limits that answer.

BentoML's own knows neither raw bodies nor refusals, nor half of the routes.
"""

from __future__ import annotations

import functools
from typing import Any

from pydantic.json_schema import models_json_schema

from service import summary
from service.bundle import InputSpec, Manifest
from service.errors import (
    DeadlineExceeded,
    Disabled,
    Draining,
    MalformedRequest,
    MissingField,
    ModelNotFound,
    Overloaded,
    PayloadTooLarge,
    ReloadRefused,
    RequestError,
    Unauthorized,
    UndecodableImage,
    UnsupportedMediaType,
)
from service.schemas import Answer, BatchAnswer, InferenceRequest, Refusal, Reloaded
from service.settings import Settings
from service.tuning import Tuning

_UNKNOWN = Manifest(
    name="name",
    id="0123456789ab",
    created="2026-01-01T00:00:00Z",
    plugin="family:variant",
    classes=("one class", "another"),
    input=InputSpec(size=224),
    outputs=(),
    opset=17,
    decoder="decoder",
    metrics={},
    parity={},
    provenance={},
)
Kinds = tuple[type[RequestError], ...]
Part = dict[str, Any]

_SCHEMA = "#/components/schemas/"
_JSON, _TEXT, _FORM = "application/json", "text/plain", "multipart/form-data"
_ANYWHERE: Kinds = (Unauthorized, Draining)
_UPLOAD: Kinds = (
    *(UndecodableImage, MalformedRequest, PayloadTooLarge, UnsupportedMediaType, MissingField),
    *(Overloaded, DeadlineExceeded),
)
_BINARY = {"type": "string", "format": "binary"}
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "where GRAFT_API_KEYS is set"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def describe(manifest: Manifest, settings: Settings) -> Part:
    """The document, ready to be sent as JSON.

    Args:
        manifest: of the model that is served. Where keys are asked for, nothing of it is shown: the
            document itself asks for none.
        settings: whose limits the document names; keys are asked for where it has any.
    """
    guarded: list[Part] = [{name: []} for name in _KEYS] if settings.keys() else []
    manifest = _UNKNOWN if guarded else manifest
    operations = {
        "/predict": {"post": _predict(manifest, settings)},
        "/predict_batch": {"post": _predict_batch(manifest, settings)},
        "/model": {"get": _model(manifest)},
        "/admin/reload": {"post": _reload(manifest)},
    }
    operations |= _protocol(manifest)
    for operation in operations.values():
        next(iter(operation.values()))["security"] = guarded
    ready = _operation("Ready: the golden pictures were answered.", _answer(_TEXT), (Draining,))
    pages = {
        "/readyz": {"get": ready},
        "/livez": {"get": _operation("Alive.", _answer(_TEXT), ())},
        "/v2/health/live": {"get": _inferring("Alive.", ())},
        "/v2/health/ready": {"get": _inferring("Ready.", (Draining,))},
        "/ui": {"get": _operation("A page for people.", _answer("text/html"), ())},
        "/metrics": {"get": _operation("Figures of all workers together.", _answer(_TEXT), ())},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "graft",
            "version": manifest.version,
            "description": f"Pictures in, answers out, by model `{manifest.name}`: "
            + ", ".join(manifest.classes),
        },
        "servers": [{"url": "."}],
        "paths": {**operations, **pages},
        "components": {"schemas": _schemas(), "securitySchemes": _KEYS},
    }


def _predict(manifest: Manifest, settings: Settings) -> Part:
    example = {**_example(manifest), "model": _name(manifest)}
    limits = (
        f"At most {settings.max_image_bytes:,} bytes and {settings.max_pixels:,} pixels; "
        "JPEG, PNG or WebP by its content."
    )
    raw = {"schema": _BINARY}
    form = {"type": "object", "properties": {"image": _BINARY}, "required": ["image"]}
    body = {
        "description": limits,
        "required": True,
        "content": {
            _FORM: {"schema": form},
            "image/*": raw,
            "application/octet-stream": raw,
        },
    }
    text = "Classify one picture: multipart field `image`, or the picture itself as the body."
    answer = _answer(_JSON, "Answer", example)
    return {**_operation(text, answer, (*_ANYWHERE, *_UPLOAD)), "requestBody": body}


def _predict_batch(manifest: Manifest, settings: Settings) -> Part:
    bad = Refusal.of(UndecodableImage("the PNG data is damaged or cut short (99 bytes)"))
    example = {"results": [_example(manifest), bad.model_dump()], "model": _name(manifest)}
    images = {"type": "array", "items": _BINARY, "minItems": 1, "maxItems": settings.max_pictures}
    form = {"type": "object", "properties": {"images": images}, "required": ["images"]}
    body = {
        "description": f"At most {settings.max_pictures} pictures and "
        f"{settings.max_request_bytes:,} bytes.",
        "required": True,
        "content": {_FORM: {"schema": form}},
    }
    text = "Classify the pictures in the multipart fields `images`; a bad one fails alone."
    answer = _answer(_JSON, "BatchAnswer", example)
    return {**_operation(text, answer, (*_ANYWHERE, *_UPLOAD)), "requestBody": body}


def _model(manifest: Manifest) -> Part:
    text = "The public part of the model's manifest, and how it is run here."
    return _operation(text, _answer(_JSON, "Model", summary.public(manifest)), _ANYWHERE)


def _reload(manifest: Manifest) -> Part:
    text = "Take the newest model that GRAFT_MODEL names, where GRAFT_RELOAD allows it."
    example = {"old": _name(manifest), "model": _name(manifest)}
    kinds = (*_ANYWHERE, Disabled, ReloadRefused)
    return _operation(text, _answer(_JSON, "Reloaded", example), kinds)


def _protocol(manifest: Manifest) -> Part:
    """The paths of the Open Inference Protocol."""
    paths: Part = {"/v2": {"get": _inferring("What this server is.", _ANYWHERE)}}
    name: Part = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    name["example"] = manifest.name
    schema = {"$ref": f"{_SCHEMA}InferenceRequest"}
    body = {"required": True, "content": {_JSON: {"schema": schema}}}
    kinds: Kinds = (*_ANYWHERE, ModelNotFound)
    for version in ("", "/versions/{version}"):
        path = f"/v2/models/{{name}}{version}"
        given = [name, {**name, "name": "version", "example": manifest.version}]
        infer = _inferring("Classify pictures; one bad one fails them all.", (*kinds, *_UPLOAD))
        paths[path] = {"get": _inferring("Inputs and outputs of the model.", kinds)}
        paths[f"{path}/ready"] = {"get": _inferring("Ready, where it is this model.", kinds)}
        paths[f"{path}/infer"] = {"post": {**infer, "requestBody": body}}
        for page in (path, f"{path}/ready", f"{path}/infer"):
            next(iter(paths[page].values()))["parameters"] = given if version else given[:1]
    return paths


def _inferring(text: str, kinds: Kinds) -> Part:
    """An operation of the protocol, whose errors are a text."""
    operation = _operation(text, _answer(_JSON, "Anything"), kinds)
    for status, response in operation["responses"].items():
        if status != "200":
            response["content"] = {_JSON: {"schema": {"$ref": f"{_SCHEMA}InferenceError"}}}
    return operation


def _operation(text: str, answer: Part, kinds: Kinds) -> Part:
    return {"description": text, "responses": {"200": answer, **_refusals(kinds)}}


def _answer(media_type: str, schema: str = "", example: object = None) -> Part:
    content: Part = {"schema": {"$ref": _SCHEMA + schema} if schema else {"type": "string"}}
    if example is not None:
        content["example"] = example
    return {"description": "Answered.", "content": {media_type: content}}


def _refusals(kinds: Kinds) -> Part:
    """One response per status, with an example of each code."""
    responses: Part = {}
    for kind in kinds:
        response = responses.setdefault(
            str(kind.status),
            {"description": [], "content": {_JSON: {"schema": {"$ref": f"{_SCHEMA}Refusal"}}}},
        )
        response["description"].append(f"`{kind.code}`: {kind.__doc__}")
        example = {"value": Refusal.of(kind(f"{kind.__doc__}")).model_dump()}
        response["content"][_JSON].setdefault("examples", {})[kind.code] = example
        for name in kind("").headers:
            response.setdefault("headers", {})[name] = {"schema": {"type": "string"}}
    for response in responses.values():
        response["description"] = "<br>".join(response["description"])
    bug = {"schema": {"$ref": f"{_SCHEMA}Refusal"}}
    text = "`internal_server_error`: A bug; the server's log says more."
    responses["500"] = {"description": text, "content": {_JSON: bug}}
    return dict(sorted(responses.items()))


@functools.cache  # 18 ms, in the event loop
def _schemas() -> Part:
    kinds = (Answer, BatchAnswer, Refusal, Reloaded, Manifest, Tuning, summary.TrainingData)
    _, defined = models_json_schema(
        [(kind, "serialization") for kind in kinds], ref_template=f"{_SCHEMA}{{model}}"
    )
    schemas: Part = defined["$defs"]
    model = schemas.pop("Manifest")
    shown = model["properties"]
    for hidden in ("provenance", "files"):
        del shown[hidden]
    shown["data"] = {"$ref": f"{_SCHEMA}TrainingData"}
    shown["version"] = {"type": "string", "description": "the first 12 digits of the id"}
    shown["tuning"] = {"$ref": f"{_SCHEMA}Tuning"}
    request = InferenceRequest.model_json_schema(ref_template=f"{_SCHEMA}{{model}}")
    schemas |= {**request.pop("$defs"), "InferenceRequest": request}
    schemas["InferenceError"] = {"type": "object", "properties": {"error": {"type": "string"}}}
    schemas["Anything"] = {"type": "object", "description": "By the Open Inference Protocol v2."}
    schemas["Model"] = {**model, "required": sorted(shown), "description": "What is served."}
    return schemas


def _example(manifest: Manifest) -> Part:
    scores = (0.97, 0.02)
    top = [
        {"label": one, "score": score} for one, score in zip(manifest.classes, scores, strict=False)
    ]
    return {**top[0], "top": top}


def _name(manifest: Manifest) -> Part:
    return {"name": manifest.name, "version": manifest.version}
