from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from service.bundle.manifest import MANIFEST, Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.errors import BundleError

Edit = Callable[[dict[str, Any]], None]


def rewrite(folder: Path, edit: Edit, with_id: bool = True) -> None:
    """Edit the manifest; with its id computed again, as someone who means it would."""
    path = folder / MANIFEST
    content = json.loads(path.read_text())
    edit(content)
    if with_id:
        content["id"] = ""
        text = json.dumps({k: v for k, v in content.items() if k != "id"}, sort_keys=True)
        content["id"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(content))


def record(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}


def test_sealed_bundle_is_read_back_equal(
    staging: Path, manifest: Manifest, tmp_path: Path
) -> None:
    (staging / "saved_model/variables").mkdir(parents=True)
    (staging / "saved_model/variables/a.index").write_bytes(b"1")
    sealed = seal(staging, manifest, tmp_path)
    assert Bundle.read(sealed.path) == sealed
    assert set(sealed.manifest.files) == {
        "model.onnx",
        "golden/answers.json",
        "golden/red.png",
        "golden/green.png",
        "golden/blue.png",
        "saved_model/variables/a.index",
    }


ROUND_TRIP = """
import sys
from pathlib import Path
from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
staging = Path(sys.argv[1])
manifest = Manifest.model_validate_json((staging.parent / "given.json").read_bytes())
print(ascii(Bundle.read(seal(staging, manifest, staging.parent).path).manifest.classes))
"""


def test_manifests_are_utf_8_whatever_the_locale(staging: Path, manifest: Manifest) -> None:
    classes = ("écorce", "葉", "blue")
    given = manifest.model_copy(update={"classes": classes})
    (staging.parent / "given.json").write_text(given.model_dump_json(), encoding="utf-8")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP, str(staging)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, **ascii_only},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr, done.stdout.strip()) == ("", ascii(classes))
    (sealed,) = staging.parent.glob("tiny-*")
    assert "écorce" in (sealed / MANIFEST).read_text(encoding="utf-8")


def test_a_link_that_is_set_anew_leads_to_no_other_bundle(
    staging: Path, manifest: Manifest, tmp_path: Path, tiny_bundle: Bundle
) -> None:
    other = seal(staging, manifest.model_copy(update={"name": "other"}), tmp_path)
    link = tmp_path / "link"
    link.symlink_to(tiny_bundle.path)
    bundle = Bundle.read(link)
    link.unlink()
    link.symlink_to(other.path)
    assert bundle.path == tiny_bundle.path
    assert Bundle.read(link).manifest.name == "other"


def test_contents_are_those_that_were_sealed_or_refused(bundle_copy: Path) -> None:
    """Files may be links themselves, as in a volume of Kubernetes, or be written over."""
    bundle = Bundle.read(bundle_copy)
    model = bundle.content("model.onnx")
    assert model == bundle.model_path.read_bytes()
    moved = bundle_copy.parent / "data"
    moved.mkdir()
    (bundle_copy / "model.onnx").rename(moved / "model.onnx")
    (bundle_copy / "model.onnx").symlink_to(moved / "model.onnx")
    assert bundle.content("model.onnx") == model
    (moved / "model.onnx").write_bytes(model[:-1] + b"\0")
    with pytest.raises(BundleError, match=r"model\.onnx was replaced since the manifest was read"):
        bundle.content("model.onnx")
    (moved / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx cannot be read"):
        bundle.content("model.onnx")


def test_sealing_names_the_folder_by_content_and_leaves_no_staging(
    staging: Path, manifest: Manifest, tmp_path: Path
) -> None:
    sealed = seal(staging, manifest, tmp_path)
    assert sealed.path == tmp_path / f"tiny-{sealed.manifest.id[:12]}"
    assert [path.name for path in tmp_path.iterdir()] == [sealed.path.name]
    assert sealed.manifest.version == sealed.manifest.id[:12]


def test_id_changes_with_any_file(staging: Path, manifest: Manifest, tiny_bundle: Bundle) -> None:
    (staging / "metrics.json").write_text("{}")
    assert seal(staging, manifest, staging.parent).manifest.id != tiny_bundle.manifest.id


def test_manifest_is_written_last_and_everything_is_flushed_before_the_rename(
    staging: Path, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill at any time leaves either no final folder, or a complete one."""
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_fsync(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)
        fsync(descriptor)

    def note_rename(self: Path, target: Path) -> Path:
        events.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    seal(staging, manifest, tmp_path)
    last = events.index("rename")
    files = {"answers.json", "red.png", "green.png", "blue.png", "model.onnx", MANIFEST}
    assert {*files, "golden", "staging"} == set(events[:last])
    assert events.index(MANIFEST) > max(events.index(name) for name in files - {MANIFEST})
    assert events[last + 1 :] == [tmp_path.name]


def test_failed_sealing_publishes_nothing(
    staging: Path, manifest: Manifest, tmp_path: Path
) -> None:
    """NaN has no JSON: this manifest could be written and never be read again."""
    diverged = manifest.model_copy(update={"metrics": {"test_accuracy": math.nan}})
    with pytest.raises(BundleError, match="not a valid manifest"):
        seal(staging, diverged, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["staging"]


@pytest.mark.parametrize(
    "decision", [{"temperature": 1.5}, {"temperature": 0}, {"thresholds": {"red": 0.9}}]
)
def test_decision_that_nothing_applies_is_refused_and_not_served_wrongly(
    manifest: Manifest, decision: dict[str, Any]
) -> None:
    content = manifest.model_dump()
    with pytest.raises(ValidationError, match="this version of Graft applies neither"):
        Manifest(**{**content, "decision": decision})
    neutral = Manifest(**{**content, "decision": {"temperature": 1.0, "thresholds": {}}})
    assert neutral.decision == manifest.decision


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


def test_public_part_keeps_provenance_and_files_back(tiny_bundle: Bundle) -> None:
    public = tiny_bundle.manifest.public()
    assert set(tiny_bundle.manifest.model_dump()) - set(public) == {"provenance", "files"}
    assert public["version"] == tiny_bundle.manifest.version
    assert public["classes"] == ["red", "green", "blue"]


def test_golden_pairs_each_picture_with_its_recorded_answer(tiny_bundle: Bundle) -> None:
    golden = dict(tiny_bundle.golden())
    assert [path.name for path in golden] == ["red.png", "green.png", "blue.png"]
    assert all(path.is_file() for path in golden)
    assert np.argmax(list(golden.values()), axis=1).tolist() == [0, 1, 2]


# What is refused


def test_altered_byte_is_found_in_every_file(bundle_copy: Path) -> None:
    for name in Bundle.read(bundle_copy).manifest.files:
        path = bundle_copy / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(BundleError, match=f"{name} was altered"):
            Bundle.read(bundle_copy)
        path.write_bytes(whole)
    Bundle.read(bundle_copy)


def test_missing_file_is_named(bundle_copy: Path) -> None:
    (bundle_copy / "golden/green.png").unlink()
    with pytest.raises(BundleError, match=r"golden/green\.png is missing; copy the bundle again"):
        Bundle.read(bundle_copy)


def test_folder_without_manifest_is_no_bundle(bundle_copy: Path, tmp_path: Path) -> None:
    (bundle_copy / MANIFEST).unlink()
    for path in (bundle_copy, tmp_path / "nowhere"):
        with pytest.raises(BundleError, match=rf"{path.name} is not a bundle: it has no manifest"):
            Bundle.read(path)


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_unknown_schema_version_says_what_to_do(bundle_copy: Path, version: object) -> None:
    rewrite(bundle_copy, lambda content: content.update(schema_version=version))
    with pytest.raises(BundleError, match=r"schema version .* reads 1: serve it with the version"):
        Bundle.read(bundle_copy)


def test_newer_manifest_is_told_by_its_version_not_by_its_unknown_fields(
    bundle_copy: Path,
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
def test_altered_manifest_does_not_match_its_id(bundle_copy: Path, edit: Edit) -> None:
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
    bundle_copy: Path, edit: Edit
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
def test_json_that_is_no_manifest_has_no_schema_version(bundle_copy: Path, content: str) -> None:
    (bundle_copy / MANIFEST).write_text(content)
    with pytest.raises(BundleError, match="schema version None"):
        Bundle.read(bundle_copy)


@pytest.mark.parametrize("name", ["../secret", "golden/../../secret", "{tmp}/secret"])
def test_names_outside_the_bundle_are_refused(bundle_copy: Path, name: str) -> None:
    secret = bundle_copy.parent / "secret"
    secret.write_text("x")
    name = name.format(tmp=bundle_copy.parent)
    rewrite(bundle_copy, lambda content: content["files"].update({name: record(secret)}))
    with pytest.raises(BundleError, match=r"the manifest names .*secret', outside the bundle"):
        Bundle.read(bundle_copy)


@pytest.mark.parametrize("name", ["model.onnx", "golden/answers.json"])
def test_manifest_must_cover_model_and_answers(bundle_copy: Path, name: str) -> None:
    rewrite(bundle_copy, lambda content: content["files"].pop(name))
    with pytest.raises(BundleError, match=f"does not list {name}; export again"):
        Bundle.read(bundle_copy)


def test_golden_picture_outside_the_manifest_is_refused(bundle_copy: Path) -> None:
    rewrite(bundle_copy, lambda content: content["files"].pop("golden/red.png"))
    with pytest.raises(BundleError, match=r"golden picture red\.png is not in the manifest"):
        Bundle.read(bundle_copy)


def test_bundle_without_golden_answers_is_refused(bundle_copy: Path) -> None:
    answers = bundle_copy / "golden/answers.json"
    answers.write_text("{}")
    rewrite(
        bundle_copy,
        lambda content: content["files"].update({"golden/answers.json": record(answers)}),
    )
    with pytest.raises(BundleError, match="no answers to check against"):
        Bundle.read(bundle_copy)


def test_model_with_weights_outside_the_file_is_refused(bundle_copy: Path) -> None:
    path = bundle_copy / "model.onnx"
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, size_threshold=0, location="weights")
    rewrite(bundle_copy, lambda content: content["files"].update({"model.onnx": record(path)}))
    with pytest.raises(BundleError, match="stores weights in other files"):
        Bundle.read(bundle_copy)


@pytest.mark.parametrize(
    "content",
    [
        b"[1]",
        b"{",
        b"\xff",
        b'{"red.png": ["a"]}',
        b'{"red.png": 1}',
        b'{"../golden/red.png": [1]}',
    ],
)
def test_damaged_golden_answers_are_refused(
    staging: Path, manifest: Manifest, tmp_path: Path, content: bytes
) -> None:
    """Checksums do not help against a bundle that was sealed like that."""
    (staging / "golden/answers.json").write_bytes(content)
    sealed = seal(staging, manifest, tmp_path)
    with pytest.raises(BundleError, match=r"answers\.json is damaged|not in the manifest"):
        Bundle.read(sealed.path)


def test_two_classes_of_one_name_are_refused(manifest: Manifest) -> None:
    with pytest.raises(ValidationError, match="two classes have the same name"):
        Manifest.model_validate({**manifest.model_dump(), "classes": ("a", "a")})


def test_an_impossible_file_name_is_refused(bundle_copy: Path) -> None:
    rewrite(bundle_copy, lambda content: content["files"].update({"x" * 300: FILE}))
    with pytest.raises(BundleError, match=r"cannot be read: .*too long"):
        Bundle.read(bundle_copy)


FILE = {"sha256": "0", "size_bytes": 0}
