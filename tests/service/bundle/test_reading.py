from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.errors import BundleError

Edit = Callable[[dict[str, Any]], None]
Rewrite = Callable[..., None]


def record(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}


def test_a_bundle_does_not_follow_a_changed_link(
    staging: Path, manifest: Manifest, tmp_path: Path, tiny_bundle: Bundle
) -> None:
    other_bundle = seal(staging, manifest.model_copy(update={"name": "other"}), tmp_path)
    link = tmp_path / "link"
    link.symlink_to(tiny_bundle.path)
    bundle = Bundle.read(link)
    link.unlink()
    link.symlink_to(other_bundle.path)
    assert bundle.path == tiny_bundle.path
    assert Bundle.read(link).manifest.name == "other"


def test_changed_contents_are_refused(bundle_copy: Path) -> None:
    """Files may be links, as in a Kubernetes volume, or they may be overwritten."""
    bundle = Bundle.read(bundle_copy)
    model = bundle.content("model.onnx")
    assert model == bundle.model_path.read_bytes()
    data_folder = bundle_copy.parent / "data"
    data_folder.mkdir()
    (bundle_copy / "model.onnx").rename(data_folder / "model.onnx")
    (bundle_copy / "model.onnx").symlink_to(data_folder / "model.onnx")
    assert bundle.content("model.onnx") == model
    (data_folder / "model.onnx").write_bytes(model[:-1] + b"\0")
    with pytest.raises(BundleError, match=r"model\.onnx was replaced after the manifest was read"):
        bundle.content("model.onnx")
    (data_folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx cannot be read"):
        bundle.content("model.onnx")


def test_golden_pairs_each_picture_with_its_recorded_answer(tiny_bundle: Bundle) -> None:
    golden = dict(tiny_bundle.golden())
    assert [path.name for path in golden] == ["red.png", "green.png", "blue.png"]
    assert all(path.is_file() for path in golden)
    assert np.argmax(list(golden.values()), axis=1).tolist() == [0, 1, 2]


def test_a_report_is_read_if_there_is_one(
    tiny_bundle: Bundle, staging: Path, manifest: Manifest, tmp_path: Path
) -> None:
    assert tiny_bundle.report() is None
    (staging / "report.html").write_text("<h1>Report</h1>")
    assert seal(staging, manifest, tmp_path).report() == b"<h1>Report</h1>"


def test_altered_byte_is_found_in_every_file(bundle_copy: Path) -> None:
    for name in Bundle.read(bundle_copy).manifest.files:
        path = bundle_copy / name
        original = path.read_bytes()
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        with pytest.raises(BundleError, match=f"{name} was altered"):
            Bundle.read(bundle_copy)
        path.write_bytes(original)
    Bundle.read(bundle_copy)


def test_missing_file_is_named(bundle_copy: Path) -> None:
    (bundle_copy / "golden/green.png").unlink()
    with pytest.raises(BundleError, match=r"golden/green\.png is missing; copy the bundle again"):
        Bundle.read(bundle_copy)


@pytest.mark.parametrize("name", ["../secret", "golden/../../secret", "{tmp}/secret"])
def test_names_outside_the_bundle_are_refused(
    bundle_copy: Path, name: str, rewrite: Rewrite
) -> None:
    secret = bundle_copy.parent / "secret"
    secret.write_text("x")
    name = name.format(tmp=bundle_copy.parent)
    rewrite(bundle_copy, lambda content: content["files"].update({name: record(secret)}))
    with pytest.raises(BundleError, match=r"lists .*secret', which is outside the bundle"):
        Bundle.read(bundle_copy)


@pytest.mark.parametrize("name", ["model.onnx", "golden/answers.json"])
def test_manifest_must_cover_model_and_answers(
    bundle_copy: Path, name: str, rewrite: Rewrite
) -> None:
    rewrite(bundle_copy, lambda content: content["files"].pop(name))
    with pytest.raises(BundleError, match=f"does not list {name}; train the model again"):
        Bundle.read(bundle_copy)


def test_golden_picture_outside_the_manifest_is_refused(
    bundle_copy: Path, rewrite: Rewrite
) -> None:
    rewrite(bundle_copy, lambda content: content["files"].pop("golden/red.png"))
    with pytest.raises(BundleError, match=r"golden picture red\.png is not in the manifest"):
        Bundle.read(bundle_copy)


def test_bundle_without_golden_answers_is_refused(bundle_copy: Path, rewrite: Rewrite) -> None:
    answers = bundle_copy / "golden/answers.json"
    answers.write_text("{}")
    rewrite(
        bundle_copy,
        lambda content: content["files"].update({"golden/answers.json": record(answers)}),
    )
    with pytest.raises(BundleError, match="contains no answers, so the model cannot be checked"):
        Bundle.read(bundle_copy)


def test_model_with_weights_outside_the_file_is_refused(
    bundle_copy: Path, rewrite: Rewrite
) -> None:
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
    """Their checksums are right, because the bundle was sealed with damaged answers."""
    (staging / "golden/answers.json").write_bytes(content)
    sealed = seal(staging, manifest, tmp_path)
    with pytest.raises(BundleError, match=r"answers\.json is damaged|not in the manifest"):
        Bundle.read(sealed.path)


def test_an_impossible_file_name_is_refused(bundle_copy: Path, rewrite: Rewrite) -> None:
    rewrite(
        bundle_copy,
        lambda content: content["files"].update({"x" * 300: {"sha256": "0", "size_bytes": 0}}),
    )
    with pytest.raises(BundleError, match=r"cannot be read \(.*too long"):
        Bundle.read(bundle_copy)
