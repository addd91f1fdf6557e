"""Build the section of the OpenAPI document that describes the Open Inference Protocol."""

from __future__ import annotations

import functools
from typing import Final

from service.bundle.manifest import Manifest
from service.errors import Draining, ModelNotFound
from service.http.pages.openapi_operations import (
    ENDPOINT_ERRORS,
    JSON_TYPE,
    SCHEMA,
    UPLOAD_ERRORS,
    ErrorClasses,
    Json,
    Section,
    describe_operation,
    success_response,
)
from service.http.pages.openapi_predictions import top_k_parameter
from service.oip.schemas import InferenceRequest

_MODEL_ERRORS: ErrorClasses = (*ENDPOINT_ERRORS, ModelNotFound)
_INFER: Final = (
    "Send pictures as BYTES (image files) or UINT8 (decoded, at the size of the model's input), in "
    "JSON or as binary data after the JSON. If one picture cannot be classified, the whole request "
    "fails."
)


def build_section(manifest: Manifest) -> Section:
    """Describe the operations under /v2, for the model that `manifest` describes."""
    paths = {
        "/v2": {"get": _operation("oip_server_metadata", "Describe the server", ENDPOINT_ERRORS)},
        **_model_paths(manifest, is_versioned=False),
        **_model_paths(manifest, is_versioned=True),
        "/v2/health/live": {"get": _operation("oip_server_live", "Liveness probe", ())},
        "/v2/health/ready": {"get": _operation("oip_server_ready", "Readiness probe", (Draining,))},
    }
    text = "Open Inference Protocol v2, for the clients of KServe, Triton and others."
    return Section("open inference protocol", text, paths, _schemas())


def _model_paths(manifest: Manifest, is_versioned: bool) -> dict[str, Json]:
    name: Json = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    parameters = [{**name, "example": manifest.name}]
    path, suffix, model = "/v2/models/{name}", "", "the model"
    if is_versioned:
        parameters.append({**name, "name": "version", "example": manifest.version})
        path, suffix, model = f"{path}/versions/{{version}}", "_version", "a version of the model"
    body = {
        "required": True,
        "content": {JSON_TYPE: {"schema": {"$ref": f"{SCHEMA}InferenceRequest"}}},
    }
    show = _operation(f"oip_model{suffix}_metadata", f"Describe {model}", _MODEL_ERRORS)
    ready = _operation(f"oip_model{suffix}_ready", f"Check that {model} is served", _MODEL_ERRORS)
    infer = _operation(
        f"oip_model{suffix}_infer",
        f"Classify pictures with {model}",
        (*_MODEL_ERRORS, *UPLOAD_ERRORS),
        _INFER,
    )
    return {
        path: {"get": {**show, "parameters": parameters}},
        f"{path}/ready": {"get": {**ready, "parameters": parameters}},
        f"{path}/infer": {
            "post": {
                **infer,
                "parameters": [*parameters, top_k_parameter(manifest)],
                "requestBody": body,
            }
        },
    }


def _operation(
    operation_id: str, summary: str, errors: ErrorClasses, description: str = ""
) -> Json:
    """Describe an operation whose errors have the format `{"error": "text"}`."""
    success = success_response(JSON_TYPE, "ProtocolAnswer")
    return describe_operation(operation_id, summary, success, errors, description, "InferenceError")


@functools.cache
def _schemas() -> Json:
    request = InferenceRequest.model_json_schema(ref_template=f"{SCHEMA}{{model}}")
    return {
        **request.pop("$defs"),
        "InferenceRequest": request,
        "InferenceError": {"type": "object", "properties": {"error": {"type": "string"}}},
        "ProtocolAnswer": {
            "type": "object",
            "description": "The response that the Open Inference Protocol v2 defines.",
        },
    }
