"""What goes in and out over HTTP, as Swagger shows it and clients parse it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from service.errors import RequestError


class Ranked(BaseModel):
    label: str
    score: float = Field(description="probability, 0..1")


class ModelName(BaseModel):
    name: str
    version: str


class Problem(BaseModel):
    code: str = Field(description="stable, for programs")
    message: str = Field(description="what, where, what next; for people")


class Refusal(BaseModel):
    error: Problem

    @classmethod
    def of(cls, error: RequestError) -> Refusal:
        return cls(error=Problem(code=error.code, message=str(error)))


class PictureRequest(BaseModel):
    """One picture as JSON; other fields are ignored."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True)

    image: str = Field(
        description="base64 of the picture, or a data URL (data:image/...;base64,...)"
    )


class Classified(BaseModel):
    """The answer for one picture."""

    label: str = Field(description="best class")
    score: float = Field(description="its probability, 0..1")
    top: list[Ranked] = Field(description="the best classes, best first")


def classified(ranking: list[tuple[str, float]]) -> dict[str, object]:
    """The JSON of a `Classified`: checking our own answers took longer than making them.

    Args:
        ranking: (class, probability), best first, at least one.
    """
    label, score = ranking[0]
    top = [{"label": label, "score": score} for label, score in ranking]
    return {"label": label, "score": score, "top": top}


class Answer(Classified):
    model: ModelName


class BatchAnswer(BaseModel):
    results: list[Classified | Refusal] = Field(description="one per picture, in order")
    model: ModelName


class Reloaded(BaseModel):
    """Which model answered before, and which does now."""

    old: ModelName
    model: ModelName


# The Open Inference Protocol


class _Part(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, frozen=True)


def _null_as(absent: object) -> BeforeValidator:
    """Clients made from the protocol's schema, as MLServer's, write null for what is not there."""
    return BeforeValidator(lambda value: absent if value is None else value)


class InputParameters(_Part):
    binary_data_size: int | None = Field(default=None, ge=0, description="bytes behind the JSON")
    shared_memory_region: object = Field(default=None, description="refused: not offered here")


class InputTensor(_Part):
    name: str = Field(description="`images`")
    datatype: str = Field(description="BYTES: encoded pictures; UINT8: the model's own input")
    shape: list[int] = Field(max_length=16, description="[N] or [N, 1]; [N, size, size, 3]")
    parameters: Annotated[InputParameters, _null_as({})] = InputParameters()
    data: list[Any] | None = Field(default=None, description="base64 texts, or levels 0..255")


class OutputParameters(_Part):
    binary_data: bool | None = Field(default=None, description="as bytes behind the JSON")
    classification: object = Field(default=None, description="refused: not offered here")
    shared_memory_region: object = Field(default=None, description="refused: not offered here")


class OutputTensor(_Part):
    name: str = Field(description="`probabilities` or `label`")
    parameters: Annotated[OutputParameters, _null_as({})] = OutputParameters()


class RequestParameters(_Part):
    binary_data_output: bool = Field(
        default=False, description="all outputs as bytes behind the JSON"
    )


class InferenceRequest(_Part):
    """The JSON of a request; what is not named here is ignored, as the protocol asks."""

    id: str | None = Field(default=None, max_length=256, description="comes back with the answer")
    parameters: Annotated[RequestParameters, _null_as({})] = RequestParameters()
    inputs: list[InputTensor] = Field(max_length=16)
    outputs: Annotated[list[OutputTensor], _null_as([])] = Field(
        default=[], max_length=16, description="none = all"
    )
