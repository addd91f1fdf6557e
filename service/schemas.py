"""The JSON of HTTP requests and responses, as pydantic models for the OpenAPI document."""

from __future__ import annotations

import base64
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from service.bundle.manifest import Manifest
from service.engine.classification import KNOWN_SHARE, Verdict
from service.errors import RequestError
from service.explanation.explainer import Explanation
from service.explanation.training_pictures import Neighbor


class Ranked(BaseModel):
    """A class and its probability."""

    label: str
    score: float = Field(description="probability, 0..1")


class ModelName(BaseModel):
    """The name and the version of a model."""

    name: str
    version: str


class ErrorDetail(BaseModel):
    """An error: a code for programs and a message for people."""

    code: str = Field(description="error code for programs; stable across versions")
    message: str = Field(description="message for people: what is wrong, and what to do")


class ErrorResponse(BaseModel):
    """The response to a refused request, or the result of a refused picture in a batch."""

    error: ErrorDetail

    @classmethod
    def from_error(cls, error: RequestError) -> ErrorResponse:
        return cls(error=ErrorDetail(code=error.code, message=str(error)))


class PictureRequest(BaseModel):
    """A request with one picture as JSON; fields other than `image` are ignored."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True)

    image: str = Field(
        description="the picture as base64, or as a data URL (data:image/...;base64,...)"
    )


class Classified(BaseModel):
    """The result for one picture."""

    label: str = Field(description="the class with the highest probability")
    score: float = Field(description="the probability of that class, 0..1")
    labels: list[Ranked] | None = Field(
        default=None,
        description="the labels whose probabilities reach their thresholds, most probable first; "
        "may be empty; absent if the model is single-label",
    )
    known: bool | None = Field(
        default=None,
        description="whether the picture is like the training pictures: its novelty is at most "
        f"{KNOWN_SHARE:g}; absent if GRAFT_NOVELTY is false, or if the model cannot tell",
    )
    novelty: float | None = Field(
        default=None,
        description="how unlike the training pictures the picture is, 0..1: the share of "
        "validation pictures that are more like them; absent if `known` is",
    )
    top: list[Ranked] = Field(description="the most probable classes, most probable first")
    set: list[str] | None = Field(
        default=None,
        description="the classes that contain the true one with the confidence GRAFT_CONFIDENCE, "
        "most probable first; absent if the setting is 0, or if the model has none. If the model "
        "is multi-label, the labels that contain this share of the true labels, on average",
    )


class Answer(Classified):
    """The response to POST /predict."""

    model: ModelName


class BatchAnswer(BaseModel):
    """The response to POST /predict_batch."""

    results: list[Classified | ErrorResponse] = Field(
        description="one result per picture, in the order of the request"
    )
    model: ModelName


class NearestPicture(BaseModel):
    """A training picture that is similar to the picture of the request."""

    path: str = Field(description="path of the picture, relative to the training data")
    label: str = Field(description="the class of the picture")
    similarity: float = Field(
        description="cosine of the angle between the features of both pictures, -1..1"
    )
    thumbnail: str | None = Field(
        default=None,
        description="a small JPEG as a data URL; absent if the model was trained without "
        "--keep-thumbnails",
    )


class Explained(BaseModel):
    """The response to POST /explain."""

    label: str = Field(description="the class that is explained")
    score: float = Field(description="the probability of that class, 0..1")
    heat_map: list[list[float]] = Field(
        description="which regions of the picture speak for the class: rows from top to bottom, "
        "each from left to right, 0..1"
    )
    nearest: list[NearestPicture] = Field(
        description="the most similar training pictures, most similar first; empty if "
        "GRAFT_SHOW_PICTURES is false, or if the model cannot tell"
    )
    model: ModelName


class RequestLimits(BaseModel):
    """The limits on a request, as GET /model shows them."""

    pictures: int = Field(description="largest number of pictures in a request")
    picture_bytes: int = Field(description="largest size of a picture, in bytes")
    request_bytes: int = Field(description="largest size of the body of a request, in bytes")


class Reloaded(BaseModel):
    """The response to POST /admin/reload: the model before and the model after the reload."""

    old: ModelName
    model: ModelName


def classified_json(verdict: Verdict) -> dict[str, object]:
    """Build the JSON of a `Classified` without pydantic, for speed; leave out what is None."""
    label, score = verdict.ranking[0]
    content: dict[str, object] = {"label": label, "score": score}
    if verdict.labels is not None:
        content["labels"] = [{"label": label, "score": score} for label, score in verdict.labels]
    if verdict.novelty is not None:
        content |= {"known": verdict.is_known, "novelty": verdict.novelty}
    content["top"] = [{"label": label, "score": score} for label, score in verdict.ranking]
    if verdict.label_set is not None:
        content["set"] = verdict.label_set
    return content


def explained_json(explanation: Explanation) -> dict[str, object]:
    """Build the JSON of an `Explained`, but without its model."""
    rows = explanation.heat_map.astype(np.float64).round(4).tolist()
    return {
        "label": explanation.label,
        "score": explanation.score,
        "heat_map": rows,
        "nearest": [_nearest_json(picture) for picture in explanation.nearest],
    }


def _nearest_json(picture: Neighbor) -> dict[str, object]:
    content: dict[str, object] = {
        "path": picture.path,
        "label": picture.label,
        "similarity": round(picture.similarity, 4),
    }
    if picture.thumbnail is not None:
        encoded = base64.b64encode(picture.thumbnail).decode()
        content["thumbnail"] = f"data:image/jpeg;base64,{encoded}"
    return content


def model_name(manifest: Manifest) -> dict[str, str]:
    """Build the JSON of a `ModelName` without pydantic, for speed."""
    return {"name": manifest.name, "version": manifest.version}
