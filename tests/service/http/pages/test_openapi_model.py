from __future__ import annotations

import re
from typing import Any

import pytest

from service.bundle.manifest import Manifest
from service.http.pages.openapi import build_document
from service.settings import Settings


@pytest.fixture(scope="module")
def docs(manifest: Manifest) -> dict[str, Any]:
    return build_document(manifest, Settings())


def test_report_and_samples_are_pages_of_the_model(docs: dict[str, Any]) -> None:
    for path, media_type in (("/report", "text/html"), ("/samples/{number}", "image/jpeg")):
        operation = docs["paths"][path]["get"]
        assert list(operation["responses"]["200"]["content"]) == [media_type]
        assert re.findall(r"`(\w+)`:", operation["responses"]["404"]["description"]) == [
            "disabled",
            "not_found",
        ]
    (number,) = docs["paths"]["/samples/{number}"]["get"]["parameters"]
    assert (number["in"], number["schema"]) == ("path", {"type": "integer", "minimum": 0})


def test_schemas_are_computed_once(manifest: Manifest) -> None:
    """Computing them takes 18 ms of the event loop, and the document needs no key."""
    schemas, later_schemas = (
        build_document(manifest, Settings(top_k=top_k))["components"]["schemas"] for top_k in (1, 2)
    )
    assert all(schemas[name] is later_schemas[name] for name in schemas)


def test_only_public_fields_of_the_model_are_documented(docs: dict[str, Any]) -> None:
    properties = docs["components"]["schemas"]["Model"]["properties"]
    assert not {"provenance", "files"} & set(properties)
