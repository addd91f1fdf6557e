"""The JSON of HTTP requests and responses, as pydantic models for the OpenAPI document."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from service.bundle.manifest import Manifest
from service.errors import RequestError


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
    top: list[Ranked] = Field(description="the most probable classes, most probable first")
    set: list[str] | None = Field(
        default=None,
        description="the classes that contain the true one with the confidence GRAFT_CONFIDENCE, "
        "most probable first; absent if the setting is 0, or if the model has none",
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


class Reloaded(BaseModel):
    """The response to POST /admin/reload: the model before and the model after the reload."""

    old: ModelName
    model: ModelName


def classified_json(
    ranking: list[tuple[str, float]], label_set: list[str] | None = None
) -> dict[str, object]:
    """Build the JSON of a `Classified` without pydantic, for speed.

    Args:
        ranking: (class, probability) pairs, most probable first, at least one.
        label_set: the field `set`; None = without this field.
    """
    label, score = ranking[0]
    top = [{"label": label, "score": score} for label, score in ranking]
    content: dict[str, object] = {"label": label, "score": score, "top": top}
    return content if label_set is None else {**content, "set": label_set}


def model_name(manifest: Manifest) -> dict[str, str]:
    """Build the JSON of a `ModelName` without pydantic, for speed."""
    return {"name": manifest.name, "version": manifest.version}
