from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.bundle.manifest import MANIFEST, Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.errors import BundleError

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


def test_sealed_bundle_is_read_back_equal(
    staging: Path, manifest: Manifest, tmp_path: Path
) -> None:
    (staging / "saved_model/variables").mkdir(parents=True)
    (staging / "saved_model/variables/a.index").write_bytes(b"1")
    sealed = seal(staging, manifest, tmp_path)
    assert Bundle.read(sealed.path) == sealed
    assert set(sealed.manifest.files) == {
        "drift.npz",
        "model.onnx",
        "heat_maps.onnx.part",
        "golden/answers.json",
        "golden/red.png",
        "golden/green.png",
        "golden/blue.png",
        "saved_model/variables/a.index",
    }


def test_manifests_are_utf_8_in_every_locale(staging: Path, manifest: Manifest) -> None:
    classes = ("écorce", "葉", "blue")
    source_manifest = manifest.model_copy(update={"classes": classes})
    (staging.parent / "given.json").write_text(source_manifest.model_dump_json(), encoding="utf-8")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    completed = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP, str(staging)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, **ascii_only},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (completed.stderr, completed.stdout.strip()) == ("", ascii(classes))
    (sealed,) = staging.parent.glob("tiny-*")
    assert "écorce" in (sealed / MANIFEST).read_text(encoding="utf-8")


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

    def record_fsync(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)
        fsync(descriptor)

    def record_rename(self: Path, target: Path) -> Path:
        events.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "rename", record_rename)
    seal(staging, manifest, tmp_path)
    rename_index = events.index("rename")
    models = {"model.onnx", "heat_maps.onnx.part", "drift.npz"}
    files = {"answers.json", "red.png", "green.png", "blue.png", *models, MANIFEST}
    assert {*files, "golden", "staging"} == set(events[:rename_index])
    assert events.index(MANIFEST) > max(events.index(name) for name in files - {MANIFEST})
    assert events[rename_index + 1 :] == [tmp_path.name]


def test_failed_sealing_publishes_nothing(
    staging: Path, manifest: Manifest, tmp_path: Path
) -> None:
    """NaN has no JSON: this manifest could be written and never be read again."""
    diverged = manifest.model_copy(update={"metrics": {"test_accuracy": math.nan}})
    with pytest.raises(BundleError, match="not a valid manifest"):
        seal(staging, diverged, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["staging"]


def test_older_versions_can_read_a_single_label_bundle(
    tiny_bundle: Bundle, staging: Path, multi_label_manifest: Manifest
) -> None:
    assert "task" not in json.loads((tiny_bundle.path / "manifest.json").read_text())
    bundle = seal(staging, multi_label_manifest, staging.parent)
    assert Bundle.read(bundle.path).manifest == bundle.manifest
    assert json.loads((bundle.path / "manifest.json").read_text())["task"] == "multi-label"
