from __future__ import annotations

from service.errors import DeadlineExceeded, Overloaded, RequestTimeout, Unauthorized
from service.http.pages.operations import answer, operation


def test_an_operation_tells_its_refusals_by_status() -> None:
    told = operation("Does it.", answer("text/plain"), (Overloaded, Unauthorized, DeadlineExceeded))
    assert told["description"] == "Does it."
    assert list(told["responses"]) == ["200", "401", "429", "500", "504"]
    overloaded = told["responses"]["429"]
    assert overloaded["description"].startswith("`overloaded`: ")
    assert set(overloaded["headers"]) == {"Retry-After"}
    (example,) = overloaded["content"]["application/json"]["examples"].values()
    assert example["value"]["error"]["code"] == "overloaded"


def test_several_refusals_of_one_status_are_one_response() -> None:
    twice = operation("", answer("text/plain"), (RequestTimeout, RequestTimeout))
    assert twice["responses"]["408"]["description"].count("`request_timeout`") == 2


def test_an_answer_names_its_schema_and_example() -> None:
    content = answer("application/json", "Answer", {"label": "rust"})["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Answer"}
    assert content["example"] == {"label": "rust"}
    assert answer("text/plain")["content"]["text/plain"] == {"schema": {"type": "string"}}
