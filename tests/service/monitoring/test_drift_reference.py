"""The reference of drift: what is written can be read, and a damaged file is refused."""

from __future__ import annotations

import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle.manifest import DRIFT, Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.errors import BundleError
from service.monitoring.drift_reference import DriftReference


@pytest.fixture
def reference(tiny_bundle: Bundle) -> DriftReference:
    """The reference in the tiny bundle: 3 classes, and 3 directions of embeddings of 3 numbers."""
    reference = DriftReference.read(tiny_bundle)
    assert reference is not None
    return reference


def test_what_is_written_can_be_read(
    reference: DriftReference, staging: Path, manifest: Manifest
) -> None:
    two_directions = replace(
        reference,
        projection=np.eye(3, 2, dtype=np.float32),
        class_means=np.ones((3, 2), np.float32),
    )
    two_directions.write(staging / DRIFT)
    read = DriftReference.read(seal(staging, manifest, staging.parent))
    assert read is not None
    for name, array in asdict(two_directions).items():
        np.testing.assert_array_equal(getattr(read, name), array)


def test_an_older_bundle_has_none(staging: Path, manifest: Manifest) -> None:
    (staging / DRIFT).unlink()
    assert DriftReference.read(seal(staging, manifest, staging.parent)) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"projection": np.ones((4, 3), np.float32)}, r"projection has the shape \(4, 3\)"),
        ({"projection": np.zeros((3, 0), np.float32)}, "projection has the shape"),
        ({"projection": np.float32(1)}, "projection has the shape"),
        ({"class_means": np.zeros((2, 3), np.float32)}, "class_means has the shape"),
        ({"class_counts": np.zeros(3, np.float32)}, "class_counts has values that are not above 0"),
        ({"class_shares": np.ones(3)}, "class_shares has values that are not finite float32"),
        ({"score_mean": np.float32("nan")}, "score_mean has values that are not finite"),
        ({"score_deviation": np.float32(0)}, "score_deviation has values that are not above 0"),
    ],
)
def test_a_reference_that_does_not_fit_is_refused(
    reference: DriftReference,
    staging: Path,
    manifest: Manifest,
    change: dict[str, Any],
    message: str,
) -> None:
    replace(reference, **change).write(staging / DRIFT)
    with pytest.raises(BundleError, match=f"drift.npz is damaged .*{message}"):
        DriftReference.read(seal(staging, manifest, staging.parent))


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, projection=np.array([object()]))
    return buffer.getvalue()


def incomplete() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, projection=np.zeros((3, 2), np.float32))
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK", b"text", pickled(), incomplete()])
def test_another_file_is_refused(content: bytes, staging: Path, manifest: Manifest) -> None:
    (staging / DRIFT).write_bytes(content)
    with pytest.raises(BundleError, match=r"drift.npz is damaged .*train the model again"):
        DriftReference.read(seal(staging, manifest, staging.parent))
