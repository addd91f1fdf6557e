"""The OpenAPI document: its content, and that the service behaves as documented."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from service.bundle.manifest import Manifest
from service.errors import ClientDisconnected, RequestError
from service.http.pages.openapi import build_document
from service.oip import openapi as oip_openapi
from service.settings import Settings

EXAMPLES = int(os.environ.get("GRAFT_FUZZ_EXAMPLES", "15"))
"""The number of generated requests for each operation; `make fuzz` increases it."""
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def docs(manifest: Manifest) -> dict[str, Any]:
    """The document as Swagger receives it."""
    document = build_document(manifest, Settings(), oip_openapi.build_section)
    return dict(json.loads(json.dumps(document)))


def operations(docs: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in docs["paths"].values() for operation in methods.values()]


def test_the_document_names_the_model_and_its_classes(docs: dict[str, Any]) -> None:
    assert docs["info"]["title"] == "Graft image classifier"
    assert docs["info"]["description"].endswith("the model `tiny`. Classes: red, green, blue")


def test_every_operation_has_a_unique_id_a_summary_and_a_group(docs: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(docs)]
    assert len({*ids}) == len(ids) == 19
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in ids)  # valid as a function name
    groups = [group["name"] for group in docs["tags"]]
    assert groups == ["predictions", "model", "open inference protocol", "operations"]
    assert all(group["description"] for group in docs["tags"])
    assert {*groups} == {tag for operation in operations(docs) for tag in operation["tags"]}
    for operation in operations(docs):
        assert len(operation["tags"]) == 1
        assert 0 < len(operation["summary"]) < 50
        assert not operation["summary"].endswith(".")


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("<script>alert(1)</script>", r"\<script\>alert\(1\)\<\/script\>"),
        ("[a](javascript:b)", r"\[a\]\(javascript\:b\)"),
        ("*bold* _it_ `code` &lt;", r"\*bold\* \_it\_ \`code\` \&lt\;"),
        ("two\n\n# lines", r"two \# lines"),
        ("Größe 漢字", "Größe 漢字"),
    ],
)
def test_class_names_are_text_and_never_markup(manifest: Manifest, name: str, escaped: str) -> None:
    """Swagger renders descriptions as Markdown with HTML, and shows examples unchanged."""
    document = build_document(manifest.model_copy(update={"classes": (name, "b")}), Settings())
    assert document["info"]["description"].endswith(f"Classes: {escaped}, b")
    example = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]
    assert example["application/json"]["example"]["label"] == name
    if escaped != name:
        assert not [text for text in descriptions(document) if name in text]


def descriptions(value: object) -> Iterator[str]:
    """Every description in a document."""
    if isinstance(value, dict):
        if isinstance(text := value.get("description"), str):
            yield text
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from descriptions(item)


def test_every_error_is_documented_in_its_format(docs: dict[str, Any]) -> None:
    documented = {}
    for name, path in docs["paths"].items():
        schema_name = "InferenceError" if name.startswith("/v2") else "ErrorResponse"
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status == "200":
                    continue
                (content,) = response["content"].values()
                assert content["schema"] == {"$ref": f"#/components/schemas/{schema_name}"}
                documented |= {
                    code: int(status) for code in re.findall(r"`(\w+)`:", response["description"])
                }
    kinds = {*RequestError.__subclasses__()} - {ClientDisconnected}  # no client is left to read it
    expected = {kind.code: kind.status for kind in kinds}
    assert documented == {**expected, "internal_server_error": 500}


def test_temporary_errors_have_a_retry_after(docs: dict[str, Any]) -> None:
    responses = docs["paths"]["/predict"]["post"]["responses"]
    assert set(responses["429"]["headers"]) == set(responses["503"]["headers"]) == {"Retry-After"}


def test_only_one_picture_may_be_a_raw_body(docs: dict[str, Any]) -> None:
    def bodies(path: str) -> set[str]:
        return set(docs["paths"][path]["post"]["requestBody"]["content"])

    raw = {"image/*", "application/octet-stream"}
    assert bodies("/predict") == {"multipart/form-data", "application/json", *raw}
    assert bodies("/predict_batch") == {"multipart/form-data"}


def test_top_k_has_the_number_of_classes_as_maximum(docs: dict[str, Any]) -> None:
    for path in ("/predict", "/predict_batch", "/v2/models/{name}/infer"):
        *_, top_k = docs["paths"][path]["post"]["parameters"]
        assert top_k["name"] == "top_k"
        assert top_k["schema"] == {"type": "integer", "minimum": 1, "maximum": 3}


def test_the_json_request_has_the_field_image(docs: dict[str, Any]) -> None:
    schema = docs["components"]["schemas"]["PictureRequest"]
    assert schema["required"] == ["image"]
    assert "data URL" in schema["properties"]["image"]["description"]


def test_the_document_names_the_limits(manifest: Manifest) -> None:
    document = json.dumps(build_document(manifest, Settings(max_pictures=7, max_pixels=12_345)))
    assert '"maxItems": 7' in document
    assert "12,345 pixels" in document


def test_operations_need_a_key_if_the_service_asks_for_keys(manifest: Manifest) -> None:
    for keys, schemes in (("", []), ("secret", [{"bearer": []}, {"key": []}])):
        document = build_document(manifest, Settings(api_keys=keys), oip_openapi.build_section)
        assert document["paths"]["/predict"]["post"]["security"] == schemes
        assert "security" not in document["paths"]["/readyz"]["get"]
        assert "secret" not in json.dumps(document)


def test_a_model_guarded_by_keys_is_hidden(manifest: Manifest) -> None:
    """The document needs no key, GET /model does."""
    manifest = manifest.model_copy(update={"id": "f" * 64})
    settings = Settings(api_keys="secret")
    document = json.dumps(build_document(manifest, settings, oip_openapi.build_section))
    private = [
        manifest.name,
        manifest.version,
        manifest.plugin,
        manifest.decoder,
        *manifest.classes,
    ]
    assert [text for text in private if json.dumps(text) in document] == []
    assert "red, green, blue" not in document


def test_every_referenced_schema_is_defined(docs: dict[str, Any]) -> None:
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(docs)))
    assert {"ErrorResponse", "Model", "TuningResult"} <= used
    assert used <= set(docs["components"]["schemas"])


@pytest.mark.slow
@pytest.mark.parametrize("keys", ["", "secret"])
def test_the_service_behaves_as_documented(
    serve: Any, keys: str, request: pytest.FixtureRequest
) -> None:
    """Requests generated from the document get no 500, and only answers that it describes."""
    with ExitStack() as stack:
        if keys:
            server = stack.enter_context(serve(GRAFT_API_KEYS=keys))
        else:
            server = request.getfixturevalue("server")
        log_before = len(server.log.read_text())
        schema = schemathesis.openapi.from_url(f"{server.url}/docs.json")
        all_operations = [result.ok() for result in schema.get_all_operations()]
        assert len(all_operations) == 19
        for operation in all_operations:
            _send_generated_requests(operation)
        assert "Traceback" not in server.log.read_text()[log_before:]


def _send_generated_requests(operation: Any) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy())
    def validate(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    validate()
