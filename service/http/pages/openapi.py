"""The OpenAPI document behind the Swagger page, made from the classes and limits that answer.

BentoML's own knows neither raw bodies nor refusals, nor half of the routes.
"""

from __future__ import annotations

import functools

from pydantic.json_schema import models_json_schema

from service.bundle import summary
from service.bundle.manifest import InputSpec, Manifest
from service.engine.autotune import Tuning
from service.engine.device import Runtime
from service.errors import (
    BadParameter,
    DeadlineExceeded,
    Disabled,
    Draining,
    MalformedRequest,
    MissingField,
    ModelNotFound,
    Overloaded,
    PayloadTooLarge,
    ReloadRefused,
    RequestTimeout,
    Unauthorized,
    UndecodableImage,
    UnsupportedMediaType,
)
from service.http.pages.operations import JSON, SCHEMA, Kinds, Part, answer, operation
from service.schemas import (
    Answer,
    BatchAnswer,
    InferenceRequest,
    PictureRequest,
    Refusal,
    Reloaded,
)
from service.settings import Settings

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
_TEXT, _FORM = "text/plain", "multipart/form-data"
_ANYWHERE: Kinds = (Unauthorized, Draining)
_UPLOAD: Kinds = (
    *(UndecodableImage, MalformedRequest, PayloadTooLarge, UnsupportedMediaType, MissingField),
    *(BadParameter, RequestTimeout, Overloaded, DeadlineExceeded),
)
_BINARY = {"type": "string", "format": "binary"}
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "where keys are asked for"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def describe(manifest: Manifest, settings: Settings) -> Part:
    """The document, ready to be sent as JSON.

    Args:
        manifest: of the model that is served. Where keys are asked for, nothing of it is shown: the
            document itself asks for none.
        settings: whose limits the document names; keys are asked for where it has any.
    """
    guarded: list[Part] = [{name: []} for name in _KEYS] if settings.asks_for_keys else []
    manifest = _UNKNOWN if guarded else manifest
    operations = {
        "/predict": {"post": _predict(manifest, settings)},
        "/predict_batch": {"post": _predict_batch(manifest, settings)},
        "/model": {"get": _model(manifest)},
        "/admin/reload": {"post": _reload(manifest)},
    }
    operations |= _protocol(manifest)
    for methods in operations.values():
        next(iter(methods.values()))["security"] = guarded
    ready = operation("Ready: the golden pictures were answered.", answer(_TEXT), (Draining,))
    pages = {
        "/readyz": {"get": ready},
        "/livez": {"get": operation("Alive.", answer(_TEXT), ())},
        "/v2/health/live": {"get": _inferring("Alive.", ())},
        "/v2/health/ready": {"get": _inferring("Ready.", (Draining,))},
        "/ui": {"get": operation("A page for people.", answer("text/html"), ())},
        "/metrics": {"get": operation("Figures of all workers together.", answer(_TEXT), ())},
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
        f"{', '.join(manifest.input.kinds)} by its content."
    )
    raw = {"schema": _BINARY}
    form = {"type": "object", "properties": {"image": _BINARY}, "required": ["image"]}
    body = {
        "description": limits,
        "required": True,
        "content": {
            _FORM: {"schema": form},
            JSON: {"schema": {"$ref": f"{SCHEMA}PictureRequest"}},
            "image/*": raw,
            "application/octet-stream": raw,
        },
    }
    text = "Classify one picture: multipart field `image`, JSON, or the picture as the body."
    answered = operation(text, answer(JSON, "Answer", example), (*_ANYWHERE, *_UPLOAD))
    return {**answered, "parameters": [_top_k(manifest)], "requestBody": body}


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
    answered = operation(text, answer(JSON, "BatchAnswer", example), (*_ANYWHERE, *_UPLOAD))
    return {**answered, "parameters": [_top_k(manifest)], "requestBody": body}


def _top_k(manifest: Manifest) -> Part:
    """Which is no more than there are classes; where those are not told, neither is this."""
    most = {} if manifest is _UNKNOWN else {"maximum": len(manifest.classes)}
    text = "classes in the answer, best first; without it as many as GRAFT_TOP_K says"
    schema = {"type": "integer", "minimum": 1, **most}
    return {"name": "top_k", "in": "query", "description": text, "schema": schema}


def _model(manifest: Manifest) -> Part:
    text = "The public part of the model's manifest, and how it is run here."
    return operation(text, answer(JSON, "Model", summary.public(manifest)), _ANYWHERE)


def _reload(manifest: Manifest) -> Part:
    text = "Take the newest model that GRAFT_MODEL names, where GRAFT_RELOAD allows it."
    example = {"old": _name(manifest), "model": _name(manifest)}
    kinds = (*_ANYWHERE, Disabled, ReloadRefused)
    return operation(text, answer(JSON, "Reloaded", example), kinds)


def _protocol(manifest: Manifest) -> Part:
    """The paths of the Open Inference Protocol."""
    paths: Part = {"/v2": {"get": _inferring("What this server is.", _ANYWHERE)}}
    name: Part = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    name["example"] = manifest.name
    schema = {"$ref": f"{SCHEMA}InferenceRequest"}
    body = {"required": True, "content": {JSON: {"schema": schema}}}
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
        asked = paths[f"{path}/infer"]["post"]
        asked["parameters"] = [*asked["parameters"], _top_k(manifest)]
    return paths


def _inferring(text: str, kinds: Kinds) -> Part:
    """An operation of the protocol, whose errors are a text."""
    inferring = operation(text, answer(JSON, "Anything"), kinds)
    for status, response in inferring["responses"].items():
        if status != "200":
            response["content"] = {JSON: {"schema": {"$ref": f"{SCHEMA}InferenceError"}}}
    return inferring


@functools.cache  # 18 ms, in the event loop
def _schemas() -> Part:
    kinds = (
        Answer,
        BatchAnswer,
        Refusal,
        Reloaded,
        Manifest,
        summary.TrainingData,
        Tuning,
        Runtime,
    )
    _, defined = models_json_schema(
        [(kind, "serialization") for kind in kinds], ref_template=f"{SCHEMA}{{model}}"
    )
    schemas: Part = defined["$defs"]
    model = schemas.pop("Manifest")
    shown = model["properties"]
    for hidden in ("provenance", "files"):
        del shown[hidden]
    shown["data"] = {"$ref": f"{SCHEMA}TrainingData"}
    shown["version"] = {"type": "string", "description": "the first 12 digits of the id"}
    shown["tuning"] = {"$ref": f"{SCHEMA}Tuning"}
    shown["runtime"] = {"$ref": f"{SCHEMA}Runtime"}
    request = InferenceRequest.model_json_schema(ref_template=f"{SCHEMA}{{model}}")
    schemas |= {**request.pop("$defs"), "InferenceRequest": request}
    schemas["PictureRequest"] = PictureRequest.model_json_schema()
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
