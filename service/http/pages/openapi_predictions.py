"""Describe the operations that classify or explain pictures, for the OpenAPI document."""

from __future__ import annotations

from typing import Final

from service.bundle.manifest import Manifest
from service.errors import NotExplainable, UndecodableImage
from service.http.pages.openapi_operations import (
    ENDPOINT_ERRORS,
    HIDDEN_MODEL,
    JSON_TYPE,
    SCHEMA,
    UPLOAD_ERRORS,
    Json,
    Section,
    describe_operation,
    success_response,
)
from service.schemas import ErrorResponse, model_name
from service.settings import Settings

_FORM: Final = "multipart/form-data"
_BINARY: Final = {"type": "string", "format": "binary"}


def describe_predictions(manifest: Manifest, settings: Settings) -> Section:
    """Describe the operations that classify or explain pictures."""
    paths = {
        "/predict": {"post": _predict(manifest, settings)},
        "/predict_batch": {"post": _predict_batch(manifest, settings)},
        "/explain": {"post": _explain(manifest, settings)},
    }
    return Section("predictions", "Classify pictures, and explain answers.", paths, {})


def _predict(manifest: Manifest, settings: Settings) -> Json:
    example = {**_example(manifest), "model": model_name(manifest)}
    described = describe_operation(
        "predict",
        "Classify one picture",
        success_response(JSON_TYPE, "Answer", example),
        (*ENDPOINT_ERRORS, *UPLOAD_ERRORS),
        "Send the picture in the multipart field `image`, in JSON, or as the raw body.",
    )
    parameters = [top_k_parameter(manifest)]
    return {**described, "parameters": parameters, "requestBody": _one_picture(manifest, settings)}


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


def _explain(manifest: Manifest, settings: Settings) -> Json:
    nearest = {"path": "first/1.jpg", "label": manifest.classes[0], "similarity": 0.93}
    answer = success_response(
        JSON_TYPE,
        "Explained",
        {
            "label": manifest.classes[0],
            "score": 0.97,
            "heat_map": [[0.0, 0.31], [0.12, 1.0]],
            "nearest": [nearest],
            "model": model_name(manifest),
        },
    )
    answer["content"]["image/png"] = {"schema": _BINARY}
    described = describe_operation(
        "explain",
        "Explain the class of one picture",
        answer,
        (*ENDPOINT_ERRORS, *UPLOAD_ERRORS, NotExplainable),
        "Send the picture as to /predict. The answer says which regions of the picture speak for "
        "the class (Grad-CAM), and lists the most similar training pictures.",
    )
    classes = {} if manifest is HIDDEN_MODEL else {"enum": list(manifest.classes)}
    parameters = [
        _query("label", "class to explain; the default is the predicted class", classes),
        _query(
            "format",
            "json, or png = the heat map over the picture; the default is the type in the header "
            "Accept, and json if it does not name image/png",
            {"enum": ["json", "png"]},
        ),
    ]
    return {**described, "parameters": parameters, "requestBody": _one_picture(manifest, settings)}


def _query(name: str, description: str, schema: Json) -> Json:
    """Describe a query parameter whose value is text."""
    schema = {"type": "string", **schema}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _one_picture(manifest: Manifest, settings: Settings) -> Json:
    """Describe a request body with one picture."""
    raw = {"schema": _BINARY}
    form = {"type": "object", "properties": {"image": _BINARY}, "required": ["image"]}
    return {
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


def top_k_parameter(manifest: Manifest) -> Json:
    """Describe the query parameter `top_k`.

    The maximum is the number of classes; it is absent if `manifest` is `HIDDEN_MODEL`.
    """
    maximum = {} if manifest is HIDDEN_MODEL else {"maximum": len(manifest.classes)}
    text = "number of classes in each result, best first; the default is the setting GRAFT_TOP_K"
    schema = {"type": "integer", "minimum": 1, **maximum}
    return {"name": "top_k", "in": "query", "description": text, "schema": schema}


def _example(manifest: Manifest) -> Json:
    scores = zip(manifest.classes, (0.97, 0.02), strict=False)
    top = [{"label": label, "score": score} for label, score in scores]
    labels = {"labels": top[:1]} if manifest.is_multi_label else {}
    return {**top[0], **labels, "top": top}
