"""Build the OpenAPI document for the Swagger page, from the schemas, settings and limits in use.

BentoML's own document does not describe raw bodies, errors and half of the routes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from service.bundle.manifest import Manifest
from service.errors import Draining
from service.http.pages.openapi_model import describe_models
from service.http.pages.openapi_operations import (
    HIDDEN_MODEL,
    Json,
    Section,
    describe_operation,
    escape_markdown,
    success_response,
)
from service.http.pages.openapi_predictions import describe_predictions
from service.settings import Settings

_TEXT: Final = "text/plain"
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
            describes the placeholder `HIDDEN_MODEL` instead.
        settings: settings of the service; the document contains their limits.
        others: functions that build more sections of the document. Each is called with the manifest
            that the document describes.
    """
    schemes: list[Json] = [{name: []} for name in _KEY_SCHEMES] if settings.requires_keys else []
    manifest = HIDDEN_MODEL if schemes else manifest
    sections = [
        describe_predictions(manifest, settings),
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


def _tagged(operation: Json, tag: str, schemes: list[Json]) -> Json:
    """Add the tag to an operation, and the API key schemes if it can respond with status 401."""
    security = {"security": schemes} if "401" in operation["responses"] else {}
    return {"tags": [tag], **operation, **security}


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
