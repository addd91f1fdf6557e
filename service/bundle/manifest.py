"""The bundle: the folder that training writes and serving reads, and nothing else between them.

A folder with a manifest is complete. `seal` fills in the checksums, writes the manifest last,
flushes everything to disk and renames the folder into place; `Bundle.read` refuses whatever has
been altered since.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from service.bundle.external_data import refers_to_external_data
from service.bundle.files import FileRecord, flush, verify
from service.errors import BundleError
from service.imaging import ALWAYS_ACCEPTED, FULL_RANGE_BITS

SCHEMA_VERSION: Final = 1
MANIFEST = "manifest.json"
MODEL = "model.onnx"
GOLDEN_ANSWERS = "golden/answers.json"
_GOLDEN: TypeAdapter[dict[str, list[float]]] = TypeAdapter(dict[str, list[float]])
NAME: Final = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"


class _Part(BaseModel):
    # NaN has no JSON: a manifest with one could be written and never be read again.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False
    )


class InputSpec(_Part):
    """What the model takes: (N, size, size, 3) RGB as `service.imaging.decode` makes it.

    `kinds` of pictures are accepted, and 16-bit samples are worth 0 to 2 ** `significant_bits` - 1.
    """

    name: Literal["images"] = "images"
    size: int = Field(gt=0, description="side of the square input, in pixels")
    resize: Literal["stretch-bilinear"] = "stretch-bilinear"
    colour: Literal["RGB"] = "RGB"
    dtype: Literal["uint8"] = "uint8"
    range: tuple[Literal[0], Literal[255]] = (0, 255)
    layout: Literal["NHWC"] = "NHWC"
    kinds: tuple[str, ...] = ALWAYS_ACCEPTED
    significant_bits: int = Field(default=FULL_RANGE_BITS, ge=8, le=FULL_RANGE_BITS)


class OutputSpec(_Part):
    name: str
    shape: tuple[int | str, ...]


class Decision(_Part):
    """How probabilities become an answer. Nothing applies these yet, so they must be neutral."""

    temperature: float = Field(default=1.0, description="divides the logits; 1 = as trained")
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="per class; none = argmax"
    )

    @model_validator(mode="after")
    def _must_be_neutral(self) -> Self:
        if self.temperature != 1.0 or self.thresholds:
            raise ValueError(
                f"temperature {self.temperature:g} and thresholds {self.thresholds}: this version "
                "of Graft applies neither (it takes 1 and none); serve with the one that made it"
            )
        return self


class Manifest(_Part):
    """manifest.json: everything that a reader needs to know about a bundle."""

    schema_version: Literal[1] = 1
    id: str = Field(default="", description="SHA-256 of this manifest's content without the id")
    name: str = Field(max_length=63, pattern=NAME, description="what a BentoML tag takes")
    created: str = Field(description="ISO 8601, UTC")
    plugin: str = Field(description="family:variant of the backbone")
    classes: tuple[str, ...] = Field(min_length=2, description="in the order of the probabilities")
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    opset: int
    decoder: str = Field(description="decoder that the model was trained with")
    decision: Decision = Decision()
    metrics: dict[str, float | int] = Field(description="headline figures of metrics.json")
    parity: dict[str, Any] = Field(description="differences between Keras and the exported formats")
    provenance: dict[str, Any] = Field(description="data, weights, seed, versions, commit")
    files: dict[str, FileRecord] = Field(default_factory=dict)

    @field_validator("classes")
    @classmethod
    def _must_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("two classes have one name")
        return classes

    @property
    def version(self) -> str:
        return self.id[:12]

    def public(self) -> dict[str, Any]:
        """The part that anyone who may ask for an answer may also see (GET /model)."""
        hidden = {"provenance", "files"}
        return {"version": self.version, **self.model_dump(mode="json", exclude=hidden)}


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk."""

    path: Path
    manifest: Manifest

    @classmethod
    def read(cls, path: Path) -> Bundle:
        """Read and verify a bundle.

        Raises:
            BundleError: no manifest, an unknown schema version, a missing or altered file, or an
                ONNX model that keeps weights outside itself.
        """
        path = path.resolve()  # a link that is set anew meanwhile leads to another bundle's files
        manifest = _read_manifest(path)
        for name, record in manifest.files.items():
            verify(path, name, record)
        for required in (MODEL, GOLDEN_ANSWERS):
            if required not in manifest.files:
                raise BundleError(f"{path}: the manifest does not list {required}; export again")
        if refers_to_external_data(path / MODEL):
            raise BundleError(
                f"{path / MODEL} keeps weights outside the file, where no checksum covers them; "
                "export it as a single file"
            )
        bundle = cls(path, manifest)
        golden = bundle.golden()
        if not golden:
            raise BundleError(f"{path}: {GOLDEN_ANSWERS} holds no answers to check against")
        for picture, _ in golden:
            is_inside = picture == path / "golden" / picture.name
            if not is_inside or f"golden/{picture.name}" not in manifest.files:
                raise BundleError(f"{path}: golden picture {picture.name} is not in the manifest")
        return bundle

    @property
    def model_path(self) -> Path:
        return self.path / MODEL

    def content(self, name: str) -> bytes:
        """A file's bytes, the very ones that the manifest was sealed with.

        A link, or the files behind it, may have changed since `read`: the manifest of one bundle
        must not be served with the model of another.

        Raises:
            BundleError: the file was altered, replaced or removed since then.
        """
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise BundleError(f"{self.path}: {name} cannot be read: {error}") from error
        sealed = self.manifest.files.get(name)  # none yet while it is being made
        if sealed is not None and FileRecord.of_bytes(data) != sealed:
            raise BundleError(
                f"{self.path}: {name} is not the one that this manifest was read with; it was "
                "replaced meanwhile: try again, or copy the bundle again"
            )
        return data

    def golden(self) -> list[tuple[Path, list[float]]]:
        """The golden pictures and the probabilities recorded for them at export."""
        try:
            answers = _GOLDEN.validate_json(self.content(GOLDEN_ANSWERS))
        except ValidationError as error:
            raise BundleError(f"{self.path / GOLDEN_ANSWERS} is damaged: {error}") from error
        return [(self.path / "golden" / name, expected) for name, expected in answers.items()]


def seal(staging: Path, manifest: Manifest, output: Path) -> Bundle:
    """Complete the files in `staging` with their manifest and move them to their final name.

    Args:
        staging: a folder on the same file system as `output` that holds every file of the bundle.
        manifest: without `id` and `files`, which are computed here.
        output: the folder in which `<name>-<version>` appears, complete, or not at all.
    """
    paths = sorted(path for path in staging.rglob("*") if path.is_file())
    files = {path.relative_to(staging).as_posix(): FileRecord.of(path) for path in paths}
    manifest = manifest.model_copy(update={"files": files})
    manifest = manifest.model_copy(update={"id": _content_id(manifest.model_dump(mode="json"))})
    manifest_path = staging / MANIFEST
    manifest_path.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    _read_manifest(staging)  # what could not be read again is not published
    folders = [staging, *(path for path in staging.rglob("*") if path.is_dir())]
    for path in (*paths, manifest_path, *folders):
        flush(path)
    final = output / f"{manifest.name}-{manifest.version}"
    staging.rename(final)
    flush(output)
    return Bundle(final, manifest)


def _read_manifest(path: Path) -> Manifest:
    try:
        content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path} is not a bundle: it has no {MANIFEST}") from None
    except (ValueError, OSError, RecursionError) as error:
        raise BundleError(f"{path / MANIFEST} cannot be read: {error}") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema version {version!r}; this version of Graft reads "
            f"{SCHEMA_VERSION}: serve it with the version that made it, or train again"
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise BundleError(f"{path / MANIFEST} is not a valid manifest: {error}") from error
    if manifest.id != _content_id(content):
        raise BundleError(f"{path / MANIFEST} was altered: its content does not match its id")
    return manifest


def _content_id(content: dict[str, Any]) -> str:
    """The hash of a manifest as it is written, so that fields added later change no older id."""
    content = {key: value for key, value in content.items() if key != "id"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
