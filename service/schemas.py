"""What goes in and out over HTTP, as Swagger shows it and clients parse it."""

from __future__ import annotations

from pydantic import BaseModel, Field

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


class Classified(BaseModel):
    """The answer for one picture."""

    label: str = Field(description="best class")
    score: float = Field(description="its probability, 0..1")
    top: list[Ranked] = Field(description="the best classes, best first")

    @classmethod
    def of(cls, ranking: list[tuple[str, float]]) -> Classified:
        top = [Ranked(label=label, score=score) for label, score in ranking]
        return cls(label=top[0].label, score=top[0].score, top=top)


class Answer(Classified):
    model: ModelName


class BatchAnswer(BaseModel):
    results: list[Classified | Refusal] = Field(description="one per picture, in order")
    model: ModelName


class Reloaded(BaseModel):
    """Which model answered before, and which does now."""

    old: ModelName
    model: ModelName
