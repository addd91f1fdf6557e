"""Read a bundle from its folder, and verify that its files are complete and unaltered."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from service.bundle.external_data import refers_to_external_data
from service.bundle.files import FileRecord, verify_file
from service.bundle.manifest import (
    CALIBRATION,
    GOLDEN_ANSWERS,
    HEAT_MAPS,
    MODEL,
    REPORT,
    Manifest,
    read_manifest,
)
from service.errors import BundleError

_NUMBERS: TypeAdapter[dict[str, list[float]]] = TypeAdapter(dict[str, list[float]])


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk. `Bundle.read` verifies it; the constructor does not."""

    path: Path
    manifest: Manifest

    @classmethod
    def read(cls, path: Path) -> Bundle:
        """Read and verify a bundle.

        Raises:
            BundleError: the manifest is missing, invalid or of an unknown schema version; a file is
                missing or altered; there are no golden answers; or the ONNX model stores weights in
                other files.
        """
        path = path.resolve()  # a symbolic link may later point to another bundle
        manifest = read_manifest(path)
        for name, record in manifest.files.items():
            verify_file(path, name, record)
        for required in (MODEL, GOLDEN_ANSWERS):
            if required not in manifest.files:
                raise BundleError(
                    f"{path}: the manifest does not list {required}; train the model again"
                )
        for model in (MODEL, HEAT_MAPS):
            if model in manifest.files and refers_to_external_data(path / model):
                raise BundleError(
                    f"{path / model} stores weights in other files, which no checksum covers; "
                    "export the model as a single file"
                )
        bundle = cls(path, manifest)
        golden = bundle.golden()
        if not golden:
            raise BundleError(
                f"{path}: {GOLDEN_ANSWERS} contains no answers, so the model cannot be checked; "
                "train the model again"
            )
        for picture, _ in golden:
            is_inside = picture == path / "golden" / picture.name
            if not is_inside or f"golden/{picture.name}" not in manifest.files:
                raise BundleError(
                    f"{path}: golden picture {picture.name} is not in the manifest; train the "
                    "model again"
                )
        return bundle

    @property
    def model_path(self) -> Path:
        """The path of model.onnx."""
        return self.path / MODEL

    def content(self, name: str) -> bytes:
        """Read a file of the bundle, and compare it with its checksum in the manifest.

        The check in `read` is not enough, because a file may have been replaced since then. A model
        must not be served with the manifest of another bundle.

        Raises:
            BundleError: the file cannot be read, or was altered or replaced since `read`.
        """
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise BundleError(
                f"{self.path}: {name} cannot be read ({error}); check its permissions, or copy the "
                "bundle again"
            ) from error
        sealed = self.manifest.files.get(name)  # None before the bundle is sealed
        if sealed is not None and FileRecord.from_bytes(data) != sealed:
            raise BundleError(
                f"{self.path}: {name} was replaced after the manifest was read; try again, or copy "
                "the bundle again"
            )
        return data

    @contextmanager
    def arrays(self, name: str) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Open a file of NumPy arrays (.npz) in the bundle.

        Raises:
            BundleError: as `content`; or the file is damaged, or the `with` block raises ValueError
                or KeyError, because an array is wrong or missing.
        """
        content = io.BytesIO(self.content(name))
        try:
            with np.load(content, allow_pickle=False) as arrays:
                yield arrays
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise BundleError(
                f"{self.path / name} is damaged ({error}); train the model again"
            ) from error

    def true_scores(self) -> list[float] | None:
        """Read the probabilities of the true classes of validation pictures, in ascending order.

        Return None if the bundle does not have them, as older bundles.

        Raises:
            BundleError: the file is damaged.
        """
        if CALIBRATION not in self.manifest.files:
            return None
        try:
            scores = _NUMBERS.validate_json(self.content(CALIBRATION))["true_scores"]
        except (ValidationError, KeyError) as error:
            raise BundleError(
                f"{self.path / CALIBRATION} is damaged ({error}); train the model again"
            ) from error
        return sorted(scores)

    def report(self) -> bytes | None:
        """Read the report, an HTML page; return None if the bundle has none.

        Raises:
            BundleError: the report cannot be read, or was replaced since `read`.
        """
        return self.content(REPORT) if REPORT in self.manifest.files else None

    def golden(self) -> list[tuple[Path, list[float]]]:
        """List the path of each golden picture and its probabilities, as recorded at export."""
        try:
            answers = _NUMBERS.validate_json(self.content(GOLDEN_ANSWERS))
        except ValidationError as error:
            raise BundleError(
                f"{self.path / GOLDEN_ANSWERS} is damaged ({error}); train the model again"
            ) from error
        return [(self.path / "golden" / name, expected) for name, expected in answers.items()]
