"""A clean folder of pictures, and helpers that run the checks on a folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trainers.cache.array_cache import Cache
from trainers.dataset import scanning
from trainers.dataset.dataset import load_dataset
from trainers.dataset.findings.checks import run_checks
from trainers.dataset.findings.finding import Finding
from trainers.progress import Progress

SILENT = Progress(is_quiet=True)
Scene = Callable[..., Image.Image]
CLASSES = ("apple", "birch", "cherry")
PER_CLASS = 14


def encoded(picture: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def check(folder: Path, image_size: int = 224) -> tuple[Finding, ...]:
    return run_checks(
        load_dataset(
            scanning.scan(folder), Cache(folder.parent, 0, folder.parent / "work", SILENT)
        ),
        image_size,
    )


def by_kind(findings: tuple[Finding, ...]) -> dict[str, set[str]]:
    """Group the paths of all findings by the kind of the finding."""
    paths: dict[str, set[str]] = {}
    for finding in findings:
        paths.setdefault(finding.kind, set()).update(finding.paths)
    return paths


@pytest.fixture
def folder(tmp_path: Path, scene: Scene) -> Path:
    """A clean folder with train and test folders: upright, EXIF-rotated, wide and high pictures."""
    turned = Image.Exif()
    turned[0x0112] = 6
    for index, label in enumerate(CLASSES):
        for number in range(PER_CLASS):
            part = "test" if number < 3 else "train"
            size = (320, 240) if number % 2 else (260, 390)
            path = tmp_path / "pictures" / part / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            options = {"exif": turned} if number % 5 == 4 else {}
            path.write_bytes(encoded(scene(100 * index + number, size), quality=90, **options))
    (tmp_path / "pictures/LICENSE.txt").write_text("free")
    return tmp_path / "pictures"
