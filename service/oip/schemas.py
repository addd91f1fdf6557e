"""Pydantic models of the JSON of an Open Inference Protocol request."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class _Strict(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, frozen=True)


def _null_as(default: object) -> BeforeValidator:
    """Make a validator that replaces null with `default`.

    Clients whose code was generated from the protocol's schema send null for absent fields.
    """
    return BeforeValidator(lambda value: default if value is None else value)


class InputParameters(_Strict):
    binary_data_size: int | None = Field(
        default=None, ge=0, description="length in bytes of this tensor's data after the JSON"
    )
    shared_memory_region: object = Field(
        default=None, description="not supported: send the data in the request"
    )


class InputTensor(_Strict):
    name: str = Field(description="name of the input, always `images`")
    datatype: str = Field(description="BYTES for image files, UINT8 for decoded pictures")
    shape: list[int] = Field(
        max_length=16,
        description="[N] or [N, 1] for image files, [N, size, size, 3] for decoded pictures",
    )
    parameters: Annotated[InputParameters, _null_as({})] = InputParameters()
    data: list[Any] | None = Field(
        default=None,
        description="base64 strings for image files, integers from 0 to 255 for decoded pictures",
    )


class OutputParameters(_Strict):
    binary_data: bool | None = Field(
        default=None, description="whether to return this output as binary data after the JSON"
    )
    classification: object = Field(
        default=None, description="not supported: request the best classes with `?top_k=`"
    )
    shared_memory_region: object = Field(
        default=None, description="not supported: the response contains the data"
    )


class OutputTensor(_Strict):
    name: str = Field(description="name of the output: `probabilities` or `label`")
    parameters: Annotated[OutputParameters, _null_as({})] = OutputParameters()


class RequestParameters(_Strict):
    binary_data_output: bool = Field(
        default=False,
        description="whether to return outputs as binary data after the JSON; an output's own "
        "`binary_data` takes precedence",
    )


class InferenceRequest(_Strict):
    """An inference request. Unknown fields are ignored, as the protocol requires."""

    id: str | None = Field(
        default=None, max_length=256, description="id of the request, which the response repeats"
    )
    parameters: Annotated[RequestParameters, _null_as({})] = RequestParameters()
    inputs: list[InputTensor] = Field(max_length=16)
    outputs: Annotated[list[OutputTensor], _null_as([])] = Field(
        default=[], max_length=16, description="requested outputs; all if empty"
    )
