from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.oip.schemas import InferenceRequest

INPUT = {"name": "images", "datatype": "BYTES", "shape": [1], "data": ["AAAA"]}


def test_null_is_an_absent_field() -> None:
    """MLServer's client writes null for fields that are not set."""
    nulls = {"id": None, "parameters": None, "outputs": None}
    with_nulls = {**nulls, "inputs": [{**INPUT, "parameters": None}]}
    assert InferenceRequest.model_validate(with_nulls) == InferenceRequest.model_validate(
        {"inputs": [INPUT]}
    )


def test_unknown_fields_are_ignored() -> None:
    request = InferenceRequest.model_validate({"inputs": [{**INPUT, "x": 1}], "y": 2})
    assert request.inputs[0].data == ["AAAA"]


@pytest.mark.parametrize(
    "change", [{"name": 1}, {"shape": ["1"]}, {"shape": [1] * 17}, {"datatype": None}]
)
def test_types_are_not_converted(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InferenceRequest.model_validate({"inputs": [{**INPUT, **change}]})
