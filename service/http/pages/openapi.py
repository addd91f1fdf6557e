"""Build the OpenAPI document for the Swagger page, from the schemas, settings and limits in use.

BentoML's own document does not describe raw bodies, errors and half of the routes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from service.bundle.manifest import InputSpec, Manifest
from service.errors import Draining, UndecodableImage
from service.http.pages.openapi_model import describe_models
from service.http.pages.openapi_operations import (
    ENDPOINT_ERRORS,
    JSON_TYPE,
    SCHEMA,
    UPLOAD_ERRORS,
    Json,
    Section,
    describe_operation,
    escape_markdown,
    success_response,
)
from service.schemas import ErrorResponse, model_name
from service.settings import Settings

_HIDDEN_MODEL: Final = Manifest(
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
_TEXT, _FORM = "text/plain", "multipart/form-data"
_BINARY: Final = {"type": "string", "format": "binary"}
_KEY_SCHEMES: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "needed only if the service requires API keys",
    },
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def build_document(
    manifest: Manifest, settings: Settings, *others: Callable[[Manifest], Section]
) -> Json:
    """Build the OpenAPI document, ready to be sent as JSON.

    Args:
        manifest: manifest of the served model. If the service requires API keys, the document
            describes the placeholder `_HIDDEN_MODEL` instead.
        settings: settings of the service; the document contains their limits.
        others: functions that build more sections of the document. Each is called with the manifest
            that the document describes.
    """
    schemes: list[Json] = [{name: []} for name in _KEY_SCHEMES] if settings.requires_keys else []
    manifest = _HIDDEN_MODEL if schemes else manifest
    sections = [
        _predictions(manifest, settings),
        describe_models(manifest),
        *(describe_section(manifest) for describe_section in others),
        _pages(),
    ]
    paths: dict[str, Json] = {}
    schemas: Json = {}
    for section in sections:
        for path, methods in section.paths.items():
            paths[path] = {
                method: _tagged(operation, section.tag, schemes)
                for method, operation in methods.items()
            }
        schemas |= section.schemas
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Graft image classifier",
            "version": manifest.version,
            "description": f"Classifies pictures with the model `{manifest.name}`. Classes: "
            + ", ".join(map(escape_markdown, manifest.classes)),
        },
        "servers": [{"url": "."}],
        "tags": [{"name": part.tag, "description": part.description} for part in sections],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _KEY_SCHEMES},
    }


def top_k_parameter(manifest: Manifest) -> Json:
    """Describe the query parameter `top_k`.

    The maximum is the number of classes; it is absent if `manifest` is `_HIDDEN_MODEL`.
    """
    maximum = {} if manifest is _HIDDEN_MODEL else {"maximum": len(manifest.classes)}
    text = "number of classes in each result, best first; the default is the setting GRAFT_TOP_K"
    schema = {"type": "integer", "minimum": 1, **maximum}
    return {"name": "top_k", "in": "query", "description": text, "schema": schema}


def _tagged(operation: Json, tag: str, schemes: list[Json]) -> Json:
    """Add the tag to an operation, and the API key schemes if it can respond with status 401."""
    security = {"security": schemes} if "401" in operation["responses"] else {}
    return {"tags": [tag], **operation, **security}


def _predictions(manifest: Manifest, settings: Settings) -> Section:
    paths = {
        "/predict": {"post": _predict(manifest, settings)},
        "/predict_batch": {"post": _predict_batch(manifest, settings)},
    }
    return Section("predictions", "Classify pictures.", paths, {})


def _predict(manifest: Manifest, settings: Settings) -> Json:
    example = {**_example(manifest), "model": model_name(manifest)}
    raw = {"schema": _BINARY}
    form = {"type": "object", "properties": {"image": _BINARY}, "required": ["image"]}
    body = {
        "description": f"At most {settings.max_image_bytes:,} bytes and "
        f"{settings.max_pixels:,} pixels. Accepted formats: {', '.join(manifest.input.kinds)}; "
        "the format is identified by the content.",
        "required": True,
        "content": {
            _FORM: {"schema": form},
            JSON_TYPE: {"schema": {"$ref": f"{SCHEMA}PictureRequest"}},
            "image/*": raw,
            "application/octet-stream": raw,
        },
    }
    described = describe_operation(
        "predict",
        "Classify one picture",
        success_response(JSON_TYPE, "Answer", example),
        (*ENDPOINT_ERRORS, *UPLOAD_ERRORS),
        "Send the picture in the multipart field `image`, in JSON, or as the raw body.",
    )
    return {**described, "parameters": [top_k_parameter(manifest)], "requestBody": body}


def _predict_batch(manifest: Manifest, settings: Settings) -> Json:
    error = UndecodableImage("the picture is empty (0 bytes): choose a file that is not empty")
    results = [_example(manifest), ErrorResponse.from_error(error).model_dump()]
    example = {"results": results, "model": model_name(manifest)}
    images = {"type": "array", "items": _BINARY, "minItems": 1, "maxItems": settings.max_pictures}
    form = {"type": "object", "properties": {"images": images}, "required": ["images"]}
    body = {
        "description": f"Largest number of pictures: {settings.max_pictures}. Largest size of "
        f"the body: {settings.max_request_bytes:,} bytes.",
        "required": True,
        "content": {_FORM: {"schema": form}},
    }
    described = describe_operation(
        "predict_batch",
        "Classify several pictures",
        success_response(JSON_TYPE, "BatchAnswer", example),
        (*ENDPOINT_ERRORS, *UPLOAD_ERRORS),
        "Send each picture in a multipart field `images`. If a picture cannot be classified, its "
        "result is an error; the other pictures are still classified.",
    )
    return {**described, "parameters": [top_k_parameter(manifest)], "requestBody": body}


def _pages() -> Section:
    text, html = success_response(_TEXT), success_response("text/html")
    paths = {
        "/readyz": {"get": describe_operation("readyz", "Readiness probe", text, (Draining,))},
        "/livez": {"get": describe_operation("livez", "Liveness probe", text, ())},
        "/ui": {"get": describe_operation("ui", "Web page for classifying pictures", html, ())},
        "/metrics": {
            "get": describe_operation("metrics", "Prometheus metrics of all workers", text, ())
        },
    }
    return Section("operations", "Probes, metrics, and a web page.", paths, {})


def _example(manifest: Manifest) -> Json:
    scores = zip(manifest.classes, (0.97, 0.02), strict=False)
    top = [{"label": label, "score": score} for label, score in scores]
    return {**top[0], "top": top}
