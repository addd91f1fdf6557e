from __future__ import annotations

import pytest

from service.errors import DeadlineExceeded, Overloaded, RequestTimeout, Unauthorized
from service.http.pages.openapi_operations import (
    describe_operation,
    escape_markdown,
    success_response,
)


def test_an_operation_lists_its_errors_by_status() -> None:
    errors = (Overloaded, Unauthorized, DeadlineExceeded)
    operation = describe_operation("work", "Do it", success_response("text/plain"), errors)
    assert operation["operationId"] == "work"
    assert operation["summary"] == "Do it"
    assert "description" not in operation
    assert list(operation["responses"]) == ["200", "401", "429", "500", "504"]
    overloaded = operation["responses"]["429"]
    assert overloaded["description"].startswith("`overloaded`: ")
    assert set(overloaded["headers"]) == {"Retry-After"}
    (example,) = overloaded["content"]["application/json"]["examples"].values()
    assert example["value"]["error"]["code"] == "overloaded"


def test_errors_of_one_status_are_one_response() -> None:
    operation = describe_operation(
        "work", "", success_response("text/plain"), (RequestTimeout, RequestTimeout)
    )
    assert operation["responses"]["408"]["description"].count("`request_timeout`") == 2


def test_errors_of_another_schema_have_no_examples_of_ours() -> None:
    operation = describe_operation(
        "work", "", success_response("text/plain"), (Overloaded,), "", "Plain"
    )
    for status in ("429", "500"):
        (content,) = operation["responses"][status]["content"].values()
        assert content == {"schema": {"$ref": "#/components/schemas/Plain"}}


def test_an_answer_names_its_schema_and_example() -> None:
    content = success_response("application/json", "Answer", {"label": "rust"})["content"][
        "application/json"
    ]
    assert content["schema"] == {"$ref": "#/components/schemas/Answer"}
    assert content["example"] == {"label": "rust"}
    assert success_response("text/plain")["content"]["text/plain"] == {"schema": {"type": "string"}}


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("rust", "rust"), ("a_b", r"a\_b"), ("\\", "\\\\"), ("a\n b", "a b"), ("<b>", r"\<b\>")],
)
def test_markdown_and_html_are_escaped(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped
