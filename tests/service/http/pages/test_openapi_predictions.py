from __future__ import annotations

from typing import Any

import pytest

from service.bundle.manifest import Manifest
from service.http.pages.openapi import build_document
from service.http.pages.openapi_predictions import describe_predictions
from service.settings import Settings


def test_an_explanation_is_json_or_a_png(manifest: Manifest) -> None:
    section = describe_predictions(manifest, Settings())
    content = section.paths["/explain"]["post"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Explained"}
    assert content["image/png"]["schema"] == {"type": "string", "format": "binary"}
    assert content["application/json"]["example"]["label"] == "red"


@pytest.mark.parametrize(("keys", "classes"), [("", ["red", "green", "blue"]), ("secret", None)])
def test_the_classes_that_can_be_explained_are_listed_unless_keys_are_required(
    manifest: Manifest, keys: str, classes: list[str] | None
) -> None:
    document = build_document(manifest, Settings(api_keys=keys))
    operation = document["paths"]["/explain"]["post"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
    assert schemas["label"].get("enum") == classes
    assert schemas["format"]["enum"] == ["json", "png"]


def test_an_explanation_takes_the_same_body_as_a_prediction(manifest: Manifest) -> None:
    paths = describe_predictions(manifest, Settings()).paths
    bodies = [paths[path]["post"]["requestBody"] for path in ("/predict", "/explain")]
    assert bodies[0] == bodies[1]


def test_the_example_of_a_multi_label_model_has_labels(
    manifest: Manifest, multi_label_manifest: Manifest
) -> None:
    def example(model: Manifest) -> Any:
        operation = describe_predictions(model, Settings()).paths["/predict"]["post"]
        return operation["responses"]["200"]["content"]["application/json"]["example"]

    assert example(multi_label_manifest)["labels"] == [{"label": "red", "score": 0.97}]
    assert "labels" not in example(manifest)
