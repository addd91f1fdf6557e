from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.bundle.manifest import MANIFEST, Manifest
from service.bundle.reading import Bundle
from service.errors import BundleError

Edit = Callable[[dict[str, Any]], None]
Rewrite = Callable[..., None]


@pytest.mark.parametrize("decision", [{"temperature": 1.5}, {"temperature": 0}])
def test_decisions_that_the_service_cannot_apply_are_refused(
    manifest: Manifest, decision: dict[str, Any]
) -> None:
    content = manifest.model_dump()
    with pytest.raises(ValidationError, match="not supported by this version of Graft"):
        Manifest(**{**content, "decision": decision})
    neutral = Manifest(**{**content, "decision": {"temperature": 1.0, "thresholds": {}}})
    assert neutral.decision == manifest.decision


def test_only_multi_label_models_have_thresholds(
    manifest: Manifest, multi_label_manifest: Manifest
) -> None:
    content = multi_label_manifest.model_dump()
    assert Manifest(**content).is_multi_label
    assert not manifest.is_multi_label
    for thresholds in ({}, {"red": 0.9}, {"green": 0.5, "red": 0.5, "blue": 0.5}):
        with pytest.raises(ValidationError, match="the thresholds of a multi-label model must be"):
            Manifest(**{**content, "decision": {"thresholds": thresholds}})
    with pytest.raises(ValidationError, match="the thresholds of a single-label model must be"):
        Manifest(**{**content, "task": "single-label"})


def test_headline_metric_must_be_a_number(manifest: Manifest) -> None:
    content = manifest.model_dump()
    with pytest.raises(ValidationError, match="finite number"):
        Manifest(**{**content, "metrics": {"test_accuracy": math.nan}})


@pytest.mark.parametrize("name", ["a", "Leaves", "leaf-health_2.1", "x" * 63])
def test_names_that_bentoml_takes_are_accepted(manifest: Manifest, name: str) -> None:
    assert Manifest(**{**manifest.model_dump(), "name": name}).name == name


@pytest.mark.parametrize("name", ["", "-a", "a.", "leaf health", "../up", "a/b", "ü", "x" * 64])
def test_other_names_are_refused(manifest: Manifest, name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        Manifest(**{**manifest.model_dump(), "name": name})


def test_one_class_is_not_enough(manifest: Manifest) -> None:
    with pytest.raises(ValidationError, match="at least 2 items"):
        Manifest(**{**manifest.model_dump(), "classes": ["only"]})


def test_public_part_has_no_provenance_and_files(tiny_bundle: Bundle) -> None:
    public = tiny_bundle.manifest.public()
    assert set(tiny_bundle.manifest.model_dump()) - set(public) == {"provenance", "files"}
    assert public["version"] == tiny_bundle.manifest.version
    assert public["classes"] == ["red", "green", "blue"]


def test_folder_without_manifest_is_not_a_bundle(bundle_copy: Path, tmp_path: Path) -> None:
    (bundle_copy / MANIFEST).unlink()
    for path in (bundle_copy, tmp_path / "nowhere"):
        with pytest.raises(BundleError, match=rf"{path.name} is not a bundle: it has no manifest"):
            Bundle.read(path)


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_unknown_schema_version_says_what_to_do(
    bundle_copy: Path, version: object, rewrite: Rewrite
) -> None:
    rewrite(bundle_copy, lambda content: content.update(schema_version=version))
    with pytest.raises(BundleError, match=r"schema version .* reads only schema version 1; serve"):
        Bundle.read(bundle_copy)


def test_newer_manifest_is_recognised_by_its_version(
    bundle_copy: Path,
    rewrite: Rewrite,
) -> None:
    rewrite(bundle_copy, lambda content: content.update(schema_version=2, surprise=True))
    with pytest.raises(BundleError, match="schema version 2"):
        Bundle.read(bundle_copy)


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.update(classes=["green", "red", "blue"]),
        lambda content: content["input"].update(size=64),
        lambda content: content["provenance"].update(seed=1),
        lambda content: content.update(id="0" * 64),
        lambda content: content["files"].pop("golden/red.png"),
    ],
)
def test_altered_manifest_does_not_match_its_id(
    bundle_copy: Path, edit: Edit, rewrite: Rewrite
) -> None:
    rewrite(bundle_copy, edit, with_id=False)
    with pytest.raises(BundleError, match="was altered: its content does not match its id"):
        Bundle.read(bundle_copy)


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.update(surprise=True),
        lambda content: content.pop("classes"),
        lambda content: content["input"].update(dtype="float32"),
        lambda content: content["input"].update(resize="crop"),
        lambda content: content["metrics"].update(test_accuracy=math.nan),
        lambda content: content.update(files={"model.onnx": {"sha256": "0"}}),
    ],
)
def test_manifest_with_unknown_or_missing_content_is_not_valid(
    bundle_copy: Path, edit: Edit, rewrite: Rewrite
) -> None:
    rewrite(bundle_copy, edit)
    with pytest.raises(BundleError, match=r"manifest\.json is not a valid manifest"):
        Bundle.read(bundle_copy)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000], ids=["empty", "cut", "binary", "deep"]
)
def test_manifest_that_is_not_json_cannot_be_read(bundle_copy: Path, content: bytes) -> None:
    (bundle_copy / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json cannot be read"):
        Bundle.read(bundle_copy)


@pytest.mark.parametrize("content", ["[]", '"text"', "1", "{}"])
def test_json_that_is_not_a_manifest_has_no_schema_version(bundle_copy: Path, content: str) -> None:
    (bundle_copy / MANIFEST).write_text(content)
    with pytest.raises(BundleError, match="schema version None"):
        Bundle.read(bundle_copy)


def test_two_classes_of_one_name_are_refused(manifest: Manifest) -> None:
    with pytest.raises(ValidationError, match="two classes have the name"):
        Manifest.model_validate({**manifest.model_dump(), "classes": ("a", "a")})
