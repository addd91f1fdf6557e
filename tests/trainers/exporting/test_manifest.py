from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from plugins.registry import resolve
from trainers.cache.array_cache import Cache
from trainers.config import TrainingConfig
from trainers.dataset import scanning
from trainers.dataset.dataset import load_dataset
from trainers.exporting import manifest
from trainers.progress import Progress

DrawFolder = Callable[..., Path]


def test_the_headline_metrics_are_those_of_the_test() -> None:
    test = {
        "n": 20,
        "accuracy": 0.9,
        "accuracy_interval": (0.7, 0.97),
        "per_class": {"cat": {"n": 15}, "dog": {"n": 5}},
    }
    validation, calibration = {"n": 80, "accuracy": 0.8}, {"error": 0.02, "temperature": 1.5}
    metrics = {"test": test, "validation": validation, "calibration": calibration}
    assert manifest.headline_metrics(metrics) == {
        "test_accuracy": 0.9,
        "test_pictures": 20,
        "test_accuracy_low": 0.7,
        "test_accuracy_high": 0.97,
        "test_majority_share": 0.75,
        "test_calibration_error": 0.02,
        "temperature": 1.5,
        "validation_accuracy": 0.8,
        "validation_pictures": 80,
    }
    metrics["validation"] = {"n": 0, "accuracy": None}
    assert "validation_accuracy" not in manifest.headline_metrics(metrics)


def test_the_nearest_file_with_a_licence_is_recorded(
    tmp_path: Path, draw_folder: DrawFolder
) -> None:
    def find() -> str | None:
        cache = Cache(tmp_path / "cache", 1e9, tmp_path / "work", Progress(is_quiet=True))
        return manifest.find_licence(load_dataset(scanning.scan(folder), cache))

    folder = draw_folder(tmp_path / "pets", red=2, blue=2)
    (folder / "licence").mkdir()  # an empty folder
    assert find() is None
    (folder / "red/licence.md").write_text("CC BY 4.0")
    assert find() == "red/licence.md"
    (folder / "LICENSE").write_text("CC BY 4.0")
    assert find() == "LICENSE"


@pytest.mark.parametrize(
    ("plugin", "weights", "source", "licence"),
    [
        ("pocket", "embedded", "embedded", "Apache-2.0"),
        ("pocket", "/home/me/mine.h5", "mine.h5", None),
        ("pocket", "none", "none", None),
        ("convnext", "imagenet", "imagenet", None),  # its publishers state none
    ],
)
def test_only_the_weights_of_the_publisher_have_their_licence(
    plugin: str, weights: str, source: str, licence: str | None
) -> None:
    classifier = SimpleNamespace(backbone=resolve(plugin), weights_sha256="00")
    config = TrainingConfig(plugin=plugin, weights=weights)
    record = manifest._weights_provenance(classifier, config)  # type: ignore[arg-type]
    assert record == {"source": source, "sha256": "00", "licence": licence}


def test_the_commit_of_another_repository_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_ROOT", tmp_path)
    assert manifest._git_commit() is None  # the folder is not a repository
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    for command in (["init", "-q"], ["commit", "-qm", "a", "--allow-empty"]):
        subprocess.run([*git, *command], check=True)
    commit = manifest._git_commit()
    assert commit is not None
    assert len(commit) == 40
    (tmp_path / "inside").mkdir()
    monkeypatch.setattr(manifest, "_ROOT", tmp_path / "inside")
    assert manifest._git_commit() is None  # Graft was copied into another repository
