"""The section of the OpenAPI document about the served model, and the schemas of all answers."""

from __future__ import annotations

import functools

from pydantic.json_schema import models_json_schema

from service.bundle import summary
from service.bundle.manifest import Manifest
from service.engine.device import RuntimeInfo
from service.engine.session_config import TuningResult
from service.errors import Disabled, NotFound, ReloadRefused
from service.http.pages.openapi_operations import (
    ENDPOINT_ERRORS,
    JSON_TYPE,
    SCHEMA,
    Json,
    Section,
    describe_operation,
    success_response,
)
from service.schemas import (
    Answer,
    BatchAnswer,
    ErrorResponse,
    PictureRequest,
    Reloaded,
    RequestLimits,
    model_name,
)


def describe_models(manifest: Manifest) -> Section:
    """Describe GET /model, its report and samples, and POST /admin/reload."""
    example = {"old": model_name(manifest), "model": model_name(manifest)}
    model = describe_operation(
        "get_model",
        "Describe the model",
        success_response(JSON_TYPE, "Model", summary.public_manifest(manifest)),
        ENDPOINT_ERRORS,
        "The public part of the model's manifest, and how the model runs on this machine.",
    )
    reload = describe_operation(
        "reload_model",
        "Reload the model",
        success_response(JSON_TYPE, "Reloaded", example),
        (*ENDPOINT_ERRORS, Disabled, ReloadRefused),
        "Load and serve the newest model that GRAFT_MODEL refers to. The service must have been "
        "started with GRAFT_RELOAD=1.",
    )
    paths = {
        "/model": {"get": model},
        "/report": {"get": _report()},
        "/samples/{number}": {"get": _sample()},
        "/admin/reload": {"post": reload},
    }
    return Section("model", "The served model.", paths, _schemas())


def _report() -> Json:
    return describe_operation(
        "get_report",
        "Show the report of the model",
        success_response("text/html"),
        (*ENDPOINT_ERRORS, Disabled, NotFound),
        "It contains pictures of the training data, unless GRAFT_SHOW_PICTURES is false.",
    )


def _sample() -> Json:
    described = describe_operation(
        "get_sample",
        "Show a sample picture",
        success_response("image/jpeg"),
        (*ENDPOINT_ERRORS, Disabled, NotFound),
        "A picture on which the model was tested, as a small JPEG without metadata.",
    )
    schema = {"type": "integer", "minimum": 0}
    text = "number of the picture, from 0; /model has the number of pictures"
    number = {"name": "number", "in": "path", "required": True, "schema": schema}
    return {**described, "parameters": [{**number, "description": text}]}


@functools.cache  # building it takes 18 ms in the event loop
def _schemas() -> Json:
    models = (
        *(Answer, BatchAnswer, ErrorResponse, Reloaded, PictureRequest),
        *(Manifest, summary.TrainingData, TuningResult, RuntimeInfo, RequestLimits),
    )
    _, defined = models_json_schema(
        [(model, "serialization") for model in models], ref_template=f"{SCHEMA}{{model}}"
    )
    schemas: Json = defined["$defs"]
    model = schemas.pop("Manifest")
    properties = model["properties"]
    for hidden in ("provenance", "files"):
        del properties[hidden]
    properties["data"] = {"$ref": f"{SCHEMA}TrainingData"}
    warnings = {"type": "array", "items": {"type": "string"}}
    properties["warnings"] = {**warnings, "description": "reasons not to rely on the model"}
    properties["version"] = {"type": "string", "description": "the first 12 digits of the id"}
    properties["tuning"] = {"$ref": f"{SCHEMA}TuningResult"}
    properties["runtime"] = {"$ref": f"{SCHEMA}RuntimeInfo"}
    properties["limits"] = {"$ref": f"{SCHEMA}RequestLimits"}
    properties["report"] = {"type": "boolean", "description": "whether GET /report has a report"}
    properties["samples"] = {"type": "integer", "description": "number of sample pictures"}
    text = "The served model."
    required = sorted(properties)
    properties["shadow"] = {"$ref": f"{SCHEMA}ModelName"}  # only if there is a challenger
    schemas["Model"] = {**model, "required": required, "description": text}
    return schemas
